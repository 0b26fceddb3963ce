"""Values that the real Debezium has written, of every type and in every mode, beside PostgreSQL's.

`tests/unit/messages/debezium_values.jsonl` is what runs of it printed (docs/decisions/0046).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parents[1] / "unit" / "messages" / "debezium_values.jsonl"


@dataclass(frozen=True, slots=True)
class Written:
    """Values of one type."""

    mode: str
    """How the connector was set: `time-connect`. What ends in `schemas` is its default."""
    type: str
    """As `format_type` has it."""
    values: tuple[tuple[str, Any], ...]
    """PostgreSQL's text of each, and what Debezium has made of it."""
    schema: dict[str, Any] | None
    is_left_out: bool
    """Messages have no such column."""


def written_values(mode: str = "") -> list[Written]:
    """Those of one mode, or all."""
    lines = [json.loads(line) for line in FILE.read_bytes().splitlines()]
    return [
        Written(
            one["mode"],
            one["type"],
            tuple((text, value) for text, value in one["values"]),
            one.get("schema"),
            one.get("left_out", False),
        )
        for one in lines
        if one["mode"] == mode or not mode
    ]
