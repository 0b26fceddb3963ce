"""Which rows a poll reads, as conditions of SQL. Pure.

By xmin: that is the number of the transaction that wrote a row, or of a savepoint within one.
Savepoints have numbers of their own, above that of their transaction, and no snapshot lists them.
So what is chosen is every number from the oldest one on that was running at the last poll: a row
may be read twice, and none is left out, whatever commits late. Numbers have 32 bits and go round: a
row that nobody has written for ages may look new, and is read once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from connectors.polling.statements import is_true, literal, quoted

if TYPE_CHECKING:
    from cdc_daemon.events import Relation
    from connectors.postgres.visibility import SnapshotVisibility

EVERY_ROW: Final = ""
"""The condition of a poll that reads all there is."""

_ROUND: Final = 1 << 32


class Comparable(NamedTuple):
    """How the values of a type are compared by a poll."""

    bound: str
    """What a value less the overlap is computed as; an index on the column still serves."""
    overlap: str
    """The type of the overlap."""
    unit: str
    """What is put behind the overlap's number."""
    now: str
    """What no value is to be trusted beyond: one row of the far future would hide all others."""


class Rising(NamedTuple):
    """The column by which rows of a table are chosen."""

    column: str
    how: Comparable
    overlap: float


COMPARABLE: Final = {
    "timestamp with time zone": Comparable("timestamptz", "interval", " seconds", "now()"),
    "timestamp without time zone": Comparable(
        "timestamp", "interval", " seconds", "localtimestamp"
    ),
    "date": Comparable("timestamp", "interval", " seconds", "current_date"),
    "smallint": Comparable("bigint", "bigint", "", ""),
    "integer": Comparable("bigint", "bigint", "", ""),
    "bigint": Comparable("bigint", "bigint", "", ""),
}
"""By the types whose values can say what is new, as the server calls them."""


def written_since(before: SnapshotVisibility, now: SnapshotVisibility) -> str:
    """Rows that `before` may not see, as of `now`."""
    count = now.xmax - before.xmin
    if count >= _ROUND:
        return EVERY_ROW
    first = before.xmin % _ROUND
    return f"(xmin::text::bigint - {first} + {_ROUND}) % {_ROUND} < {count}"


def at_or_after(rising: Rising, value: str | None) -> str:
    """Rows whose column is no earlier than `value` less the overlap; None: nobody knows."""
    if value is None:
        return EVERY_ROW
    how = rising.how
    less = literal(f"{rising.overlap:.6f}".rstrip("0").rstrip(".") + how.unit)
    return f"{quoted(rising.column)} >= {literal(value)}::{how.bound} - {less}::{how.overlap}"


def highest(relation: Relation, rising: Rising) -> str:
    """The statement that gives the value up to where rows are read, if there are any."""
    value = f"least(highest, {rising.how.now})" if rising.how.now else "highest"
    return (
        f"select ({value})::text from (select max({quoted(rising.column)}) as highest "  # noqa: S608 - a quoted name
        f"from {from_table(relation)}) as one where highest is not null"
    )


def rows(relation: Relation, since: str, *, gone: str, new: str) -> str:
    """The statement that gives rows: the columns, whether it is gone, and whether it is new."""
    columns = [quoted(column.name) for column in relation.columns]
    columns.append(is_true(gone) if gone else "false")
    columns.append(is_true(new) if new else "true")
    where = f" where {is_true(since)}" if since else ""
    return f"select {', '.join(columns)} from {from_table(relation)}{where}"  # noqa: S608 - quoted names, and conditions of the configuration


def from_table(relation: Relation) -> str:
    """With its partitions; of another table not those that inherit from it."""
    only = "" if relation.kind == "partitioned" else "only "
    name = f"{quoted(relation.schema)}.{quoted(relation.name)}"
    return f"{only}{name} as {quoted(relation.name)}"
