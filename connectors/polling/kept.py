"""What is kept of polls, and of the rows that they have read. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Position

DIGEST_BYTES: Final = 16
"""That two rows of a table have one digest, or two keys, is less likely than a broken disk."""
DOUBTFUL: Final = b""
"""In place of a digest: whatever the row is, it is to be given; it is to be deleted if it is
gone."""
GONE: Final = b"-"
"""In place of a digest: the row is there, and counts as deleted."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Up to where a table has been read."""

    seen: str
    """The snapshot, as pg_current_snapshot() writes it."""
    value: str | None = None
    """The highest value of its watermark column, where it is polled by one."""
    is_filled: bool = False
    """Whether every row that the snapshot sees is remembered."""
    compared: float = 0.0
    """When it was compared as a whole, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Poll:
    """One read of all tables, of which changes have been given, or will be."""

    position: Position
    source_id: str
    log_end: Position
    """Where the log ended after the snapshot was taken: in another history that shares this much
    the snapshot sees the same."""
    time: float
    """The source's clock before the snapshot was taken."""
    bounds: dict[str, Bound] = field(default_factory=dict)
    """By the table's `Relation.qualified_name`."""


class Known(NamedTuple):
    """A row that is remembered."""

    number: int
    table: int
    key: bytes
    digest: bytes
    values: bytes
    """Those of its key, as JSON, a line each."""


def key_of(canonical: Sequence[bytes]) -> bytes:
    """What a row is remembered by: equal keys are one, however they are written."""
    return hashlib.blake2b(b"\n".join(canonical), digest_size=DIGEST_BYTES).digest()


def digest_of(text: bytes) -> bytes:
    """Of a row as the source sends it."""
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()


def bounds_text(bounds: dict[str, Bound]) -> str:
    """As they are stored."""
    return json.dumps({table: asdict(bound) for table, bound in bounds.items()})


def read_bounds(text: str) -> dict[str, Bound]:
    """What `bounds_text` has written."""
    return {table: Bound(**fields) for table, fields in json.loads(text).items()}
