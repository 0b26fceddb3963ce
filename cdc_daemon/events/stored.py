"""What sinks keep for us as JSON, and back: checkpoints and dead letters. Pure."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from cdc_daemon.events.kept import (
    Checkpoint,
    Chunk,
    ColumnShape,
    Coverage,
    DeadLetter,
    Generation,
    Load,
    Part,
    Shape,
)
from cdc_daemon.events.position import Position

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKPOINT_FORMAT: Final = 2
"""Changes when an older daemon could not read what a newer one wrote."""

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
"""A longer document is cut, with a note: dead letters must not fill the sink."""
MAX_VALUE_BYTES: Final = 64 * 1024
"""The same for one value of the row, so that its key columns stay readable."""


def checkpoint_of(kept: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint whose dataclasses were written as this JSON."""
    generations = {name: Generation(**parts) for name, parts in kept["generations"].items()}
    return Checkpoint(
        pipeline=kept["pipeline"],
        position=Position(kept["position"]),
        source_id=kept["source_id"],
        generations=generations,
        loads=tuple(_load(parts) for parts in kept["loads"]),
        memberships=kept.get("memberships", {}),
        owner=kept.get("owner", ""),
        written=None if kept.get("written") is None else Position(kept["written"]),
        shapes={table: _shape(parts) for table, parts in kept.get("shapes", {}).items()},
        covered={table: _coverage(parts) for table, parts in kept.get("covered", {}).items()},
        state_id=kept.get("state_id", ""),
        building=tuple(kept.get("building", ())),
        unseen=tuple(kept.get("unseen", ())),
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


def letter_key(letter: DeadLetter) -> str:
    """The same dead letter, found again by a replay, has the same key."""
    parts = [letter.pipeline, letter.projection, letter.table, letter.id, letter.position]
    return hashlib.blake2b(orjson.dumps(parts), digest_size=16).hexdigest()


def letter_parts(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter as JSON: document and row are texts in it, for they may be no JSON."""
    document, note = _cut(letter.document, MAX_DOCUMENT_BYTES)
    return {
        "pipeline": letter.pipeline,
        "projection": letter.projection,
        "table": letter.table,
        "id": letter.id,
        "position": letter.position,
        "reason": letter.reason,
        "time": datetime.fromtimestamp(letter.time, UTC).isoformat(timespec="microseconds"),
        "explanation": letter.explanation + note,
        "document": document,
        "row": _row_text(letter.row),
    }


def letter_of(parts: Mapping[str, Any]) -> DeadLetter:
    """The dead letter that `letter_parts` made this of (but for what was cut)."""
    body, row = parts["document"], parts["row"]
    values = None if row is None else {k: v.encode() for k, v in orjson.loads(row).items()}
    return DeadLetter(
        pipeline=parts["pipeline"],
        projection=parts["projection"],
        id=parts["id"],
        position=Position(parts["position"]),
        reason=parts["reason"],
        explanation=parts["explanation"],
        document=None if body is None else body.encode(),
        row=values,
        table=parts["table"],
        time=datetime.fromisoformat(parts["time"]).timestamp(),
    )


def _row_text(row: dict[str, bytes] | None) -> str | None:
    """Column to JSON text, as one JSON text: a value may be too large to read as JSON."""
    if row is None:
        return None
    values = {}
    for column, value in row.items():
        text, note = _cut(value, MAX_VALUE_BYTES)
        values[column] = (text or "") + note
    return orjson.dumps(values).decode()


def _cut(text: bytes | None, limit: int) -> tuple[str | None, str]:
    """The text and a note, which is empty where nothing was cut."""
    if text is None:
        return None, ""
    if len(text) <= limit:
        return text.decode(errors="replace"), ""
    return text[:limit].decode(errors="replace"), f" [cut after {limit} of {len(text)} bytes]"
