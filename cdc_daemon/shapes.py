"""Compares two shapes of a table: whether documents are others now although no row changed. Pure.

A value can change without its row in four ways, and each leaves its mark: another column has the
name (`place`) or its type is another (`meaning`); somebody altered the column (`version`) and the
table was rewritten; the column is new, and rows from before have a default; or rows came and went
as whole partitions. What leaves no such mark (VACUUM FULL, a default, a grant) alters nothing.

A column that was added empty and filled since is no reason to read rows again, because changes that
come have its values. That holds only if nobody reads by the columns of before what such a change
has written: who reads chunks, looks rows up, polls or reads an outbox looks whether the table has
more columns by then (`Relation.added`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from cdc_daemon.events import Relation, Shape


def altered(before: Shape, now: Shape, columns: Collection[str]) -> str | None:
    """Why documents that show `columns` are to be made again from all rows; None if they needn't.

    Columns that are gone are not looked at: what they mean is up to the mapping.
    """
    if before.table != now.table:
        return "it is another table: dropped and made again, or two have swapped their names"
    if before.key != now.key:
        return "its key, its replica identity or its kind is another one"
    for name in sorted(set(columns) & now.columns.keys()):
        if why := _column_altered(before, now, name):
            return f"column {name} {why}"
    return _moved(before, now)


def _column_altered(before: Shape, now: Shape, name: str) -> str | None:
    was, became = before.columns.get(name), now.columns[name]
    rewritten = before.file != now.file
    if was is None or was.place != became.place:
        if became.place in {column.place for column in before.columns.values()}:
            return "was renamed"
        if was is None and became.plain and not rewritten:
            return None  # in rows from before it is null
        return "was added with values for the rows that were there" if was is None else "is new"
    if was.meaning != became.meaning:
        return "is of another type"
    return "was rewritten" if rewritten and was.version != became.version else None


def _moved(before: Shape, now: Shape) -> str | None:
    """Whether rows have come or gone with partitions, which the stream doesn't say."""
    if before.parts.keys() - now.parts.keys():
        return "a partition was dropped or detached"
    for name, part in now.parts.items():
        was = before.parts.get(name)
        if was is None and not part.empty:
            return "a partition with rows was attached"
        if was is not None and was.file != part.file:
            return "a partition was truncated or rewritten"
        if was is not None and was.attached != part.attached:
            return "a partition was detached and attached again"
    return None


def shown(relation: Relation) -> list[str]:
    """The columns that documents depend on: those of its rows, and what is computed from them."""
    return [column.name for column in (*relation.columns, *relation.computed)]


def difference(before: Shape | None, now: Shape | None, relation: Relation) -> str | None:
    """What has changed that mappings over `relation` must be compiled anew for; None if nothing."""
    if now is None:
        return "it is gone: dropped, renamed or moved"
    if before is None:
        return "it is there again"
    mapped = set(shown(relation))
    gone = sorted(mapped - now.columns.keys())
    new = now.columns.keys() - before.columns.keys()
    added = sorted(new if relation.is_open else new & relation.missing)
    if gone or added:
        said = [f"column {name} is gone" for name in gone]
        return "; ".join([*said, *(f"column {name} was added" for name in added)])
    if before.parts.keys() != now.parts.keys():
        return "its partitions are others"
    return altered(before, now, mapped)
