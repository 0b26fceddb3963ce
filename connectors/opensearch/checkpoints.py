"""Keeps the checkpoint of each pipeline as one document of an index of our own."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cdc_daemon.errors import SinkError
from cdc_daemon.events import (
    Checkpoint,
    Chunk,
    ColumnShape,
    Coverage,
    Generation,
    Load,
    Part,
    Position,
    Shape,
)
from connectors.opensearch.errors import NOT_FOUND
from connectors.opensearch.ownindex import OwnIndex

if TYPE_CHECKING:
    from connectors.opensearch.client import Client

FORMAT: Final = 2
"""Changes when an older daemon could not read what a newer one wrote."""

INDEX: Final = OwnIndex(
    "cdc-daemon-checkpoints",
    {
        "format": {"type": "integer"},
        "pipeline": {"type": "keyword"},
        "position": {"type": "long"},
        "stored_at": {"type": "date", "format": "epoch_millis"},
        # Only read back, never searched: any shape fits.
        "checkpoint": {"type": "object", "enabled": False},
    },
)


class OpenSearchCheckpoints:
    """The checkpoint store. Any thread may use it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def load(self, pipeline: str) -> Checkpoint | None:
        """The last one stored (a get by id sees it at once); None on the first start."""
        found = self._client.ask(
            "read the checkpoint", "GET", self._path(pipeline), ok=(NOT_FOUND,)
        )
        return _from_document(found["_source"]) if found.get("found") else None

    def store(self, checkpoint: Checkpoint) -> None:
        """Return when it is durable."""
        INDEX.ensure(self._client)
        body = {
            "format": FORMAT,
            "pipeline": checkpoint.pipeline,
            "position": checkpoint.position,
            "stored_at": int(time.time() * 1000),
            "checkpoint": asdict(checkpoint),
        }
        path = self._path(checkpoint.pipeline)
        self._client.send("store the checkpoint", "PUT", path, body=body)

    def _path(self, pipeline: str) -> str:
        return f"/{INDEX.name}/_doc/{quote(pipeline, safe='')}"


def _from_document(document: dict[str, Any]) -> Checkpoint:
    if document.get("format") != FORMAT:
        raise SinkError(
            f"The checkpoint in index {INDEX.name!r} has format {document.get('format')!r}, and"
            f" this version of cdc-daemon reads {FORMAT}: use the version that wrote it."
        )
    kept = document["checkpoint"]
    generations = {name: Generation(**parts) for name, parts in kept["generations"].items()}
    return Checkpoint(
        pipeline=kept["pipeline"],
        position=Position(kept["position"]),
        source_id=kept["source_id"],
        generations=generations,
        loads=tuple(_load(parts) for parts in kept["loads"]),
        shapes={table: _shape(parts) for table, parts in kept.get("shapes", {}).items()},
        covered={table: _coverage(parts) for table, parts in kept.get("covered", {}).items()},
    )


def _shape(parts: dict[str, Any]) -> Shape:
    columns = {name: ColumnShape(**column) for name, column in parts["columns"].items()}
    return Shape(
        **{
            **parts,
            "columns": columns,
            "parts": {name: Part(**part) for name, part in parts["parts"].items()},
        }
    )


def _coverage(parts: dict[str, Any]) -> Coverage:
    return Coverage(parts["seen"], Position(parts["floor"]), Position(parts["end"]))


def _load(parts: dict[str, Any]) -> Load:
    todo = parts["todo"]
    return Load(
        **{
            **parts,
            "projections": tuple(parts["projections"]),
            "todo": None if todo is None else tuple(map(_chunk, todo)),
            "since": Position(parts.get("since", 0)),
        }
    )


def _chunk(parts: dict[str, Any]) -> Chunk:
    first, end = parts["first"], parts["end"]
    place = (int(first[0]), int(first[1]))
    return Chunk(**{**parts, "first": place, "end": None if end is None else (end[0], end[1])})
