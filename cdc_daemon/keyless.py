"""Tables of which a large value that an update leaves out couldn't be read: told beforehand. Pure.

Such a row is read by its key. Where a rule of the source protects that, the daemon has to stop at
the first such update, which may come after months.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon.state import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Column, Relation
    from cdc_daemon.projection.compiler import Compiled
    from cdc_daemon.projection.flat import FlatProjection


class Keyless(NamedTuple):
    """A table that is to send whole rows, and doesn't."""

    table: str
    """`Relation.qualified_name`."""
    why: str
    sql: str
    """What mends it."""

    @property
    def message(self) -> str:
        """All of it, for people."""
        return f"{self.why}. Run: {self.sql}"


def keyless(compiled: Compiled) -> Iterator[Keyless]:
    """Each table at which the daemon would stop, once an update leaves out a value of it."""
    left_out: dict[Relation, dict[str, None]] = {}
    for projection in compiled.projections:
        if not projection.key:
            _note(left_out, projection.relation, _read_by(projection))
    for relation in dict.fromkeys(one for plan in compiled.plans for one in plan.relations):
        key = identity_of(relation)
        if any(each.protection is not None for each in relation.columns if each.name in key):
            _note(left_out, relation, iter(relation.columns))
    return (_keyless(relation, [*columns]) for relation, columns in left_out.items() if columns)


def _read_by(projection: FlatProjection) -> Iterator[Column]:
    return (projection.relation.columns[at] for at in sorted(projection.reads))


def _note(
    left_out: dict[Relation, dict[str, None]], relation: Relation, read: Iterator[Column]
) -> None:
    """What of `read` an update may leave out: where whole old rows are sent it is in those."""
    if relation.replica_identity == "full" or not relation.has_rows:
        return
    names = (each.name for each in read if each.out_of_line and not each.in_identity)
    left_out.setdefault(relation, {}).update(dict.fromkeys(names))


def _keyless(relation: Relation, columns: list[str]) -> Keyless:
    table = relation.qualified_name
    why = (
        f"an update that doesn't change a large value (TOAST) of {', '.join(columns)} leaves it "
        "out, and the row can't be read by its key, which a rule of source.columns protects: the "
        "daemon would stop at the first such update"
    )
    if relation.kind == "partitioned":
        why += ". What each partition sends of old rows is set for itself"
    return Keyless(table, why, f"alter table {table} replica identity full")
