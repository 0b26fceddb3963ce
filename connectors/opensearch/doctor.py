"""What `cdc-daemon check` says of an OpenSearch sink: everything that can be known beforehand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cdc_daemon.errors import SinkError
from cdc_daemon.ports import Finding
from connectors.opensearch.errors import NOT_FOUND
from connectors.opensearch.indices import alias_holders, require_safe_settings
from connectors.opensearch.preflight import check_model, server_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cdc_daemon.ports import ReadModel
    from connectors.opensearch.client import Client

FLAT: Final = {"flat_settings": "true", "include_defaults": "true"}
DISK: Final = "cluster.routing.allocation.disk."
WRITE_BLOCKS: Final = ("read_only", "read_only_allow_delete", "write")
_HARMFUL: Final = ("_source", "_routing", "dynamic_templates")
"""Parts of a template's mapping that change how documents are kept or found; fields don't."""


def examine(client: Client, models: Sequence[ReadModel], *, pipeline: str) -> Iterator[Finding]:
    """Look at server, cluster, disks and names; touches nothing.

    Raises RetryError or SinkError if the server can't be asked at all.
    """
    version = server_version(client)
    major, minor = version
    yield Finding("server", "ok", f"OpenSearch {major}.{minor} at {client.where}")
    for check, look in _cluster_looks(client):
        yield from _looked(check, look)
    for model in models:
        yield from _read_model(client, model, pipeline=pipeline, version=version)


def _cluster_looks(client: Client) -> Iterator[tuple[str, Callable[[], Iterator[Finding]]]]:
    yield "cluster health", lambda: _health(client)
    yield "disks", lambda: _disks(client, _cluster_settings(client))
    yield "cluster blocks", lambda: _cluster_blocks(_cluster_settings(client))


def _looked(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What an account may not look at is no problem: the daemon does without."""
    try:
        yield from look()
    except SinkError as error:
        yield Finding(check, "warning", f"it can't be looked at: {error}")


def _health(client: Client) -> Iterator[Finding]:
    health = client.ask("read the cluster's health", "GET", "/_cluster/health")
    said = f"{health['status']}, {health['number_of_data_nodes']} data nodes"
    if health["status"] == "red":
        yield Finding(
            "cluster health",
            "problem",
            f"{said}: shards are missing, and writes to them wait. See GET "
            "/_cluster/allocation/explain",
        )
    elif health["status"] == "yellow" and health["number_of_data_nodes"] > 1:
        yield Finding(
            "cluster health",
            "warning",
            f"{said}: {health['unassigned_shards']} copies of shards have no node. See GET "
            "/_cluster/allocation/explain",
        )
    else:
        yield Finding("cluster health", "ok", said)


def _cluster_settings(client: Client) -> dict[str, Any]:
    """The settings in force by their full names."""
    answer = client.ask("read the cluster's settings", "GET", "/_cluster/settings", params=FLAT)
    return {**answer.get("defaults", {}), **answer["persistent"], **answer["transient"]}


def _disks(client: Client, settings: Mapping[str, Any]) -> Iterator[Finding]:
    if settings.get(f"{DISK}threshold_enabled", "true") == "false":
        yield Finding("disks", "ok", "watermarks are off")
        return
    low, flood = (
        str(settings.get(f"{DISK}watermark.{name}", default))
        for name, default in (("low", "85%"), ("flood_stage", "95%"))
    )
    answer = client.ask("read the nodes' disks", "GET", "/_nodes/stats/fs")
    for node in answer["nodes"].values():
        total = node["fs"]["total"]["total_in_bytes"]
        free = node["fs"]["total"]["available_in_bytes"]
        yield _disk(node.get("name", "a node"), free, total, low=low, flood=flood)


def _disk(name: str, free: int, total: int, *, low: str, flood: str) -> Finding:
    check = f"disk of {name}"
    said = f"{free:,} of {total:,} bytes are free"
    if free <= least_free(flood, total):
        return Finding(
            check,
            "problem",
            f"{said}, which is beyond {DISK}watermark.flood_stage ({flood}): OpenSearch blocks all "
            "writes. Free some space, or add a node",
        )
    if free <= least_free(low, total):
        return Finding(
            check,
            "warning",
            f"{said}, which is beyond {DISK}watermark.low ({low}): no new shard is put there, and "
            "at flood_stage writes are blocked. Free some space, or add a node",
        )
    return Finding(check, "ok", said)


def least_free(watermark: str, total: int) -> float:
    """The free bytes at a watermark: `85%` and `0.85` are of what is used, `10gb` is free."""
    if found := re.fullmatch(r"([0-9.]+)%", watermark):
        return total * (1 - float(found[1]) / 100)
    if re.fullmatch(r"[01]?\.[0-9]+", watermark):
        return total * (1 - float(watermark))
    if found := re.fullmatch(r"([0-9.]+)([kmgtp]?)b", watermark):
        return float(found[1]) * (1 << 10 * " kmgtp".index(found[2] or " "))
    return 0


def _cluster_blocks(settings: Mapping[str, Any]) -> Iterator[Finding]:
    blocked = [
        name
        for name in ("cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete")
        if str(settings.get(name, "false")) == "true"
    ]
    if blocked:
        setting = ", ".join(f'"{name}": null' for name in blocked)
        yield Finding(
            "cluster blocks",
            "problem",
            f"{', '.join(blocked)}: the cluster takes no writes. PUT /_cluster/settings "
            f'{{"persistent": {{{setting}}}}}',
        )
    else:
        yield Finding("cluster blocks", "ok", "none")


def _read_model(
    client: Client, model: ReadModel, *, pipeline: str, version: tuple[int, int]
) -> Iterator[Finding]:
    check = f"read model {model.name}"
    try:
        check_model(client, model, pipeline=pipeline, version=version)
        said = list(_index_findings(client, model, check))
    except SinkError as error:
        yield Finding(check, "problem", str(error))
        return
    yield from said or [Finding(check, "ok", f"{len(model.fields)} fields")]
    yield from _looked(check, lambda: _templates(client, model.name, check))


def _index_findings(client: Client, model: ReadModel, check: str) -> Iterator[Finding]:
    """Whether somebody has changed the settings of the index that is searched now."""
    for index in alias_holders(client, model.name):
        path = f"/{quote(index)}/_settings"
        answer = client.ask("read index settings", "GET", path, params=FLAT)[index]
        settings = {**answer.get("defaults", {}), **answer["settings"]}
        require_safe_settings(index, settings)
        for block in WRITE_BLOCKS:
            if str(settings.get(f"index.blocks.{block}", "false")) == "true":
                yield Finding(
                    check,
                    "problem",
                    f"index {index} has index.blocks.{block}, so it takes no writes. PUT "
                    f'/{index}/_settings {{"index.blocks.{block}": null}}',
                )


def _templates(client: Client, name: str, check: str) -> Iterator[Finding]:
    """What index templates would add to the daemon's indices; its own settings win over theirs."""
    path = f"/_index_template/_simulate_index/{quote(name)}-000001"
    answer = client.ask("try an index template", "POST", path, ok=(NOT_FOUND,))
    template = answer.get("template") or {}
    aliases = sorted(template.get("aliases", {}))
    harmful = [key for key in _HARMFUL if template.get("mappings", {}).get(key)]
    if aliases or harmful:
        what = [*(f"the alias {alias}" for alias in aliases), *harmful]
        yield Finding(
            check,
            "warning",
            f"an index template adds {', '.join(what)} to the indices {name}-*: documents could be "
            "kept or found otherwise than mapped. See POST "
            f"/_index_template/_simulate_index/{name}-000001, and leave {name}-* out of its "
            "index_patterns",
        )
