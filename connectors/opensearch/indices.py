"""Makes, publishes and drops the generations of read models: indices and aliases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cdc_daemon.errors import SinkError
from cdc_daemon.events import Generation
from connectors.opensearch.bulk import GUARD_SUFFIX
from connectors.opensearch.errors import NOT_FOUND, RefusedError
from connectors.opensearch.mapping import field_mapping, index_body

if TYPE_CHECKING:
    from cdc_daemon.ports import ReadModel
    from connectors.opensearch.client import Client

ATTEMPTS: Final = 5
"""How often another creator may take the next number before us."""
TAKEN: Final = "resource_already_exists_exception"
UNFIT: Final = "illegal_argument_exception"
"""A field can't become one of another type."""
DURABILITY: Final = "index.translog.durability"
REPLICATION: Final = "index.replication.type"
REPLICAS: Final = "index.number_of_replicas"
ALL_KINDS: Final = {"expand_wildcards": "all"}


def create_generation(client: Client, model: ReadModel, *, pipeline: str) -> Generation:
    """Make a new, empty index `NAME-000001` (the next free number) that nobody searches yet."""
    body = index_body(model, pipeline=pipeline)
    index = _create(client, model.name, body)
    try:
        uuid = _verified_uuid(client, index)
    except SinkError:
        _delete(client, index)
        raise
    return Generation(model.name, index, uuid, model.fingerprint, model.digests)


def extend_generation(client: Client, generation: Generation, model: ReadModel) -> bool:
    """Add the fields that the index lacks; False where one of that name has another type there."""
    lacking = [field for field in model.fields if field.name not in generation.fields]
    body = {"properties": {field.name: field_mapping(field) for field in lacking}}
    try:
        path = f"/{quote(generation.index)}/_mapping"
        client.send("change the mapping of an index", "PUT", path, body=body)
    except RefusedError as refusal:
        if refusal.reason != UNFIT:
            raise
        return False
    return True


def publish(client: Client, generation: Generation, *, pipeline: str) -> list[str]:
    """Move the read model's alias to `generation` in one step: no search sees two or none.

    Returns the indices of `pipeline` that had it until now: nobody else's may be dropped.
    """
    alias = generation.projection
    holders = alias_holders(client, alias)
    holders.pop(generation.index, None)
    actions: list[dict[str, Any]] = [
        {"remove": {"index": index, "alias": alias}} for index in holders
    ]
    actions.append({"add": {"index": generation.index, "alias": alias}})
    client.send("change aliases", "POST", "/_aliases", body={"actions": actions})
    return [index for index, ours in holders.items() if ours.get("pipeline") == pipeline]


def drop_generation(client: Client, generation: Generation) -> None:
    """Delete the index; quiet if it is gone, or if its name belongs to another index by now."""
    if find_uuid(client, generation.index) == generation.uuid:
        _delete(client, generation.index)


def find_uuid(client: Client, index: str) -> str | None:
    """The UUID of an index; None if there is none of that name (an alias doesn't count)."""
    path = f"/{quote(index)}/_settings"
    found = client.ask("read index settings", "GET", path, params=ALL_KINDS, ok=(NOT_FOUND,))
    settings = found.get(index, {}).get("settings")
    return str(settings["index"]["uuid"]) if settings else None


def alias_holders(client: Client, alias: str) -> dict[str, Any]:
    """The indices that hold `alias`, with their mapping's `_meta` of ours, if any.

    Raises SinkError if an index itself has that name.
    """
    params = {**ALL_KINDS, "filter_path": "*.mappings._meta.cdc_daemon,*.aliases"}
    path = f"/{quote(alias)}"
    found = client.ask("read an index", "GET", path, params=params, ok=(NOT_FOUND,))
    if "error" in found or "status" in found:
        return {}
    if alias in found:
        raise SinkError(
            f"There is an index named {alias!r}, so the read model {alias!r} can't have an alias"
            f" of that name. Rename the projection, or delete the index (DELETE /{alias}) or"
            " reindex it under another name."
        )
    return {
        index: parts.get("mappings", {}).get("_meta", {}).get("cdc_daemon", {})
        for index, parts in found.items()
    }


def _create(client: Client, name: str, body: dict[str, Any]) -> str:
    for _ in range(ATTEMPTS):
        index = f"{name}-{_next_number(client, name):06d}"
        guarded = {**body, "aliases": {index + GUARD_SUFFIX: {"is_hidden": True}}}
        try:
            client.send("create an index", "PUT", f"/{quote(index)}", body=guarded)
        except RefusedError as refusal:
            if refusal.reason != TAKEN:
                raise
        else:
            return index
    raise SinkError(f"Another process keeps creating generations of {name!r}: stop it first.")


def _next_number(client: Client, name: str) -> int:
    params = {**ALL_KINDS, "filter_path": "*.settings.index.uuid"}
    path = f"/{quote(name)}-*/_settings"
    found = client.ask("read index settings", "GET", path, params=params, ok=(NOT_FOUND,))
    # A delete, unlike an index operation, makes an index of the guard's name where the guard is
    # gone: that number is used up. (Such a delete does no harm, and the next refresh stops.)
    pattern = f"{re.escape(name)}-(\\d{{6,}})({GUARD_SUFFIX})?"
    numbers = [int(match[1]) for index in found if (match := re.fullmatch(pattern, index))]
    return max(numbers, default=0) + 1


def _verified_uuid(client: Client, index: str) -> str:
    params = {"flat_settings": "true", "include_defaults": "true"}
    path = f"/{quote(index)}/_settings"
    answer = client.ask("read index settings", "GET", path, params=params)[index]
    settings = {**answer.get("defaults", {}), **answer["settings"]}
    require_safe_settings(index, settings)
    return str(settings["index.uuid"])


def require_safe_settings(index: str, settings: dict[str, Any]) -> None:
    """Raise SinkError where an index would lose writes, or show them later than we say.

    `settings`: full dotted names to values; what is missing isn't checked.
    """
    if settings.get(DURABILITY, "request") != "request":
        raise SinkError(
            f"Index {index!r} would have {DURABILITY} = {settings[DURABILITY]!r}: OpenSearch then"
            " acknowledges documents that a crash loses, while the source forgets them. Remove"
            " that setting, or set it to request."
        )
    segment = settings.get(REPLICATION, "DOCUMENT") == "SEGMENT"
    if segment and str(settings.get(REPLICAS, "0")) != "0":
        raise SinkError(
            f"Index {index!r} would have {REPLICATION} = SEGMENT with {settings[REPLICAS]}"
            " replicas: replicas then show documents later than a refresh says, and the delay"
            " that is measured would be wrong. Under `index: settings:` set"
            " `number_of_replicas: 0`, or `replication.type: DOCUMENT` where the cluster allows"
            " it."
        )


def _delete(client: Client, index: str) -> None:
    client.send("delete an index", "DELETE", f"/{quote(index)}", ok=(NOT_FOUND,))
