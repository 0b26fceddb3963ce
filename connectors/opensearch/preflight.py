"""Finds what would not work before anything is created: server, names, settings, mappings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.errors import RetryError, SinkError
from connectors.opensearch.errors import (
    BAD_REQUEST,
    FORBIDDEN,
    NOT_FOUND,
    UNAUTHORIZED,
    RefusedError,
)
from connectors.opensearch.indices import alias_holders, require_safe_settings
from connectors.opensearch.mapping import index_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.ports import ReadModel
    from connectors.opensearch.client import Client

OLDEST: Final = (2, 0)
FLAT_OBJECT_SINCE: Final = (2, 7)
GOOD_NAME: Final = re.compile(r"[^A-Z\s\\/*?\"<>|,#:+_.-][^A-Z\s\\/*?\"<>|,#:]{0,200}")
UNFORMED: Final = "_na_"
"""What a node says that hasn't found a cluster."""
LAST_PRIORITY: Final = 2**31 - 1
"""The trial template wins over all others, as an index's own settings do."""


def preflight(client: Client, models: Sequence[ReadModel], *, pipeline: str) -> None:
    """Check server, names, settings and mappings; touches nothing. Raises SinkError."""
    version = server_version(client)
    for model in models:
        check_model(client, model, pipeline=pipeline, version=version)


def check_model(
    client: Client, model: ReadModel, *, pipeline: str, version: tuple[int, int]
) -> None:
    """Check one read model; touches nothing. Raises SinkError."""
    _check_name(model.name)
    body = index_body(model, pipeline=pipeline)
    require_safe_settings(model.name, body["settings"])
    _check_field_types(model.name, body, version)
    _check_owner(client, model.name, pipeline)
    _try_mapping(client, model.name, body)


def server_version(client: Client) -> tuple[int, int]:
    """Major and minor version. Raises SinkError if it is not an OpenSearch that will do."""
    try:
        version = client.ask("read the server's version", "GET", "/").get("version", {})
    except RefusedError as refusal:
        if refusal.status in {UNAUTHORIZED, FORBIDDEN}:
            raise
        raise SinkError(_not_opensearch(client, f"HTTP {refusal.status}")) from refusal
    number = str(version.get("number", ""))
    found = re.match(r"(\d+)\.(\d+)", number)
    if version.get("distribution") != "opensearch" or not found:
        raise SinkError(_not_opensearch(client, f"version {number or 'unknown'}"))
    major_minor = (int(found[1]), int(found[2]))
    if major_minor < OLDEST:
        raise SinkError(
            f"OpenSearch at {client.where} is version {number}; 2.0 or later is needed. (A cluster"
            " that claims 7.10 has `compatibility.override_main_response_version` set: unset it.)"
        )
    return major_minor


def cluster_id(client: Client) -> str:
    """What no other cluster has, and each of its nodes says."""
    found = client.ask("read the cluster's number", "GET", "/").get("cluster_uuid")
    if found in {None, UNFORMED}:
        raise RetryError(
            f"the nodes of OpenSearch at {client.where} have not found together: no cluster yet",
            reason="unavailable",
        )
    return str(found)


def _not_opensearch(client: Client, what: str) -> str:
    return (
        f"The server at {client.where} is not OpenSearch ({what}). This sink writes to OpenSearch"
        " 2.0 or later; Elasticsearch and OpenSearch Serverless are not supported."
    )


def _check_name(name: str) -> None:
    if not GOOD_NAME.fullmatch(name):
        raise SinkError(
            f"{name!r} can't be the name of an index. Use lower case letters, digits, `-` and `_`;"
            " begin with a letter or digit; at most 200 characters."
        )


def _check_field_types(name: str, body: dict[str, Any], version: tuple[int, int]) -> None:
    properties = body["mappings"]["properties"]
    flat = [field for field, spec in properties.items() if spec.get("type") == "flat_object"]
    if flat and version < FLAT_OBJECT_SINCE:
        raise SinkError(
            f"Read model {name!r} has fields of type flat_object ({', '.join(flat)}), which"
            " OpenSearch has since 2.7. Give them another type, such as"
            " `{type: object, enabled: false}`."
        )


def _check_owner(client: Client, name: str, pipeline: str) -> None:
    for index, ours in alias_holders(client, name).items():
        owner = ours.get("pipeline")
        if owner != pipeline:
            whose = f"pipeline {owner!r}" if owner else "somebody else"
            raise SinkError(
                f"The alias {name!r} belongs to {whose} (index {index!r}), and one read model"
                " belongs to one pipeline. Rename the projection, or remove the alias:"
                f" DELETE /{index}/_alias/{name}"
            )


def _try_mapping(client: Client, name: str, body: dict[str, Any]) -> None:
    """Let the server judge settings and mapping, without making anything."""
    template = {
        "index_patterns": [f"{name}-000001"],
        "priority": LAST_PRIORITY,
        "template": {"settings": body["settings"], "mappings": body["mappings"]},
    }
    path = "/_index_template/_simulate"
    try:
        client.send("try an index template", "POST", path, body=template)
    except RefusedError as refusal:
        if refusal.status == BAD_REQUEST:
            raise SinkError(
                f"OpenSearch does not take the index of read model {name!r}: {refusal}. Check"
                " the field types under `fields` and the settings under `index`."
            ) from refusal
        # Without the right to try, creating the index will tell.
        if refusal.status not in {NOT_FOUND, FORBIDDEN}:
            raise
