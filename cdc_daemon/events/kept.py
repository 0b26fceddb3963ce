"""What is kept from one start to the next: the checkpoint and its parts, and dead letters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdc_daemon.events.position import NOWHERE

if TYPE_CHECKING:
    from cdc_daemon.events.position import Position


@dataclass(frozen=True, slots=True)
class Generation:
    """One physical index of a read model, behind its alias."""

    projection: str
    index: str
    uuid: str
    fingerprint: str
    """A digest of the mapping it was built by: another mapping needs another generation."""
    fields: dict[str, str] = field(default_factory=dict)
    """Where it shows every column (`"*"`): the digest of each field. One more is only added."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a table that is read at once: rows whose place (block, line) is in [first, end)."""

    table: str
    """As SQL names it, quoted (`"public"."item_2026"`): a partition that holds rows, or the table
    itself where it isn't partitioned."""
    oid: int
    filenode: int
    """The table's file when the chunk was planned."""
    first: tuple[int, int]
    end: tuple[int, int] | None
    """Exclusive; None is the end of the table, wherever that is when the chunk is read."""


@dataclass(frozen=True, slots=True)
class Load:
    """Existing rows of one table that are still to be read, for the projections that lack them."""

    table: str
    """`schema.name`, the way `Relation.qualified_name` has it."""
    projections: tuple[str, ...]
    todo: tuple[Chunk, ...] | None = None
    """What is left, adjacent chunks as one; None where it hasn't been planned yet."""
    settled: bool = False
    """Whether every transaction from before the stream's beginning is known to be visible."""
    rows: int = 0
    """Read and durable so far."""
    blocks: int = 0
    """How many blocks were planned, to know how far it is."""
    since: Position = NOWHERE
    """Where the stream was when it began to repair what is searched already: every row that is
    there is written at this version or above it. 0: it fills a new generation."""
    joined: bool = False
    """Whether the table has come into the stream only for this load: the stream lacks what
    transactions that were open then had done before."""
    why: str = ""
    """What has changed in the source, so that all rows are read again; empty where somebody asked
    for it. Changes of the stream are left to such a load (`Coverage`): it can't be given up."""
    where: str = ""
    """Of a load that repairs: a condition of the source's own language. Only rows that meet it are
    read, so documents without a row stay. Empty: all rows."""

    @property
    def repairs(self) -> bool:
        """Whether it writes into generations that are loaded already, and stay searched."""
        return self.since > NOWHERE


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """What the values of a column depend on beside the rows."""

    place: int
    """In the table, from its making to its dropping, whatever its name is."""
    meaning: str
    """Its type as far down as it goes: under another one the values are others."""
    version: str
    """Another one whenever anybody has altered the column, whatever it was."""
    plain: bool = True
    """Whether rows from before it was added hold null."""


@dataclass(frozen=True, slots=True)
class Part:
    """A partition that holds rows."""

    file: str
    """Another one once it was truncated or rewritten."""
    empty: bool = False
    attached: str = ""
    """Another text once it was detached, and attached again."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a table looks like, as far as documents can change with it while no row does."""

    table: str
    """Which table has the name: one that is dropped and made again is another."""
    key: str
    """Its kind, its primary key, and what it sends of old rows."""
    columns: dict[str, ColumnShape]
    file: str = ""
    """Of a table without partitions: another one once it was truncated or rewritten."""
    parts: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which transactions are left to the load of a table, that begins after they are visible.

    Theirs are the changes that are older than what the catalog says of the table.
    """

    seen: str
    """In the source's own words: see `Source.visibility`."""
    floor: Position
    """Where the log ended before. Whatever is written of the table from then on has this version or
    a higher one: what a load finds below it belongs to no row."""
    end: Position
    """Where the log ended after: no transaction that is seen comes later."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a pipeline resumes from; kept in the sink, so that it survives the daemon's machine."""

    pipeline: str
    position: Position
    """Everything up to here is durable."""
    source_id: str
    """The history of the source (PostgreSQL: system identifier and timeline)."""
    generations: dict[str, Generation] = field(default_factory=dict)
    loads: tuple[Load, ...] = ()
    """What is still to be read of the rows that were there before. A generation that a load fills
    isn't searched yet; one that a load repairs is."""
    memberships: dict[str, str] = field(default_factory=dict)
    """By table (`Relation.qualified_name`): how it belonged to the stream when it was loaded."""
    owner: str = ""
    """The process that stores it; another one that takes over stores its own name."""
    written: Position | None = None
    """No document has a higher version: stored by a process that ends in order. None while one
    runs, and after one that ended without a word: it may have written beyond `position`."""
    shapes: dict[str, Shape] = field(default_factory=dict)
    """What the tables looked like when it was begun from, by their names."""
    covered: dict[str, Coverage] = field(default_factory=dict)
    """By the table's name."""
    state_id: str = ""
    """The state of joined read models that it goes with; empty where there is none."""
    building: tuple[str, ...] = ()
    """The joined projections whose generation isn't searched yet: how far it is, the state says."""
    unseen: tuple[int, ...] = ()
    """The numbers of transactions up to `position` that rows may not show yet which are being read:
    their commits wait for a synchronous standby. Rows count once they do."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A document operation or change that can't be applied, kept with its reason."""

    pipeline: str
    projection: str
    id: str
    position: Position
    reason: str
    """A short class of error to count by, such as `mapper_parsing_exception`."""
    explanation: str
    document: bytes | None = None
    row: dict[str, bytes] | None = None
    """Column to JSON text: the source row as far as it is known."""
    table: str = ""
    time: float = 0.0
