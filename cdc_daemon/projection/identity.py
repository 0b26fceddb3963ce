"""The document id of a projection: checked to be unique, and compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.config.names import id_parts
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.values import fill_id, id_encoder, join_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.config.mistakes import Path
    from cdc_daemon.config.projections import ProjectionConfig
    from cdc_daemon.events import Column, Relation, Row
    from cdc_daemon.projection.drafting import Mistakes, Scope

_SHORT: Final = frozenset({"int2", "int4", "int8", "uuid", "bool", "date", "timestamptz"})
"""Types whose text is never empty nor too long for an id: no check in the hot path."""


def is_streamed(path: Path, table: Relation, mistakes: Mistakes) -> bool:
    """Whether changes of `table` are streamed; where they aren't, that is noted."""
    if table.kind in {"table", "partitioned"}:
        return True
    mistakes.add(
        path,
        f"{table.qualified_name} is a {table.kind}: its changes are not streamed. Map the tables "
        "under it",
    )
    return False


def check_id(path: Path, config: ProjectionConfig, scope: Scope) -> tuple[str, ...]:
    """The columns that make the document id of the projection at `path`."""
    path = (*path, "id" if config.id else "from")
    table = scope.table
    if not is_streamed(path, table, scope.mistakes):
        return ()
    names = tuple(config.id_columns or table.primary_key)
    if not names:
        scope.mistakes.add(
            path,
            f"table {table.qualified_name} has no primary key: name the columns that make "
            "the document id in `id`",
        )
        return ()
    columns = [scope.row_column(path, name) for name in names]
    found = [column for column in columns if column is not None]
    if len(found) == len(columns):
        _check_unique(path, found, scope)
        _check_sent(path, found, scope, joined=config.is_joined)
        _check_text(path, found, scope.mistakes)
    return tuple(column.name for column in found)


def _check_unique(path: Path, columns: Sequence[Column], scope: Scope) -> None:
    """The id must be unique."""
    names = {column.name for column in columns}
    table = scope.table
    keys = [set(table.primary_key)]
    if table.replica_identity == "index":
        keys.append({column.name for column in table.columns if column.in_identity})
    missing = [sorted(key - names) for key in keys if key]
    if missing and all(missing):
        scope.mistakes.add(
            path,
            f"the id must hold the whole key of {table.qualified_name}, or two rows would share a "
            f"document: add {', '.join(missing[-1])}",
        )
    elif not missing and not any(names.issuperset(key) for key in table.immediate_keys):
        listed = ", ".join(column.name for column in columns)
        scope.mistakes.add(
            path,
            f"table {table.qualified_name} has no primary key, and no unique index says that "
            f"{listed} tells its rows apart: two rows would share a document. Run: create unique "
            f"index on {table.qualified_name} ({listed}); a deferrable constraint is none",
        )


def _check_sent(path: Path, columns: Sequence[Column], scope: Scope, *, joined: bool) -> None:
    """What isn't sent of deleted rows is known only where rows are kept."""
    table = scope.table
    outside = [column.name for column in columns if not column.in_identity]
    # A table without any identity is refused as a whole, with what mends it, by the source.
    if not joined and outside and any(column.in_identity for column in table.columns):
        scope.mistakes.add(
            path,
            f"{', '.join(outside)} is not sent when a row of {table.qualified_name} is deleted, so "
            "it can't be part of the id. Use the primary key, or run: alter table "
            f"{table.qualified_name} replica identity full",
        )


def _check_text(path: Path, columns: Sequence[Column], mistakes: Mistakes) -> None:
    for column in columns:
        if column.protection is not None and not column.protection.keeps_apart:
            mistakes.add(
                path,
                f"column {column.name} is {column.protection.kind} by the `source` section, so "
                "two rows would share a document. Hash it there instead, or make the id of "
                "other columns",
            )
        try:
            id_encoder(column.type)
        except ConfigurationError as error:
            mistakes.add(path, f"column {column.name}: {error}")


def check_routing(path: Path, config: ProjectionConfig, scope: Scope) -> None:
    """Every document needs a shard."""
    if config.routing is None:
        return
    path = (*path, "routing")
    column = scope.row_column(path, config.routing)
    if column is None:
        return
    _check_text(path, [column], scope.mistakes)
    if column.nullable:
        scope.mistakes.add(
            path,
            f"column {column.name} may be NULL, and then says no shard. Run: alter table "
            f"{scope.table.qualified_name} alter column {column.name} set not null",
        )


def compile_id(
    names: Sequence[str], relation: Relation, template: str | None = None
) -> Callable[[Row], bytes]:
    """From a row of `relation` to its document id."""
    places = [relation.index_of(name) for name in names]
    encoders = [id_encoder(relation.columns[place].type) for place in places]
    pairs = list(zip(places, encoders, strict=True))
    if template is not None:
        texts = id_parts(template)[::2]
        return lambda row: fill_id(texts, [encode(row[place]) for place, encode in pairs])  # type: ignore[arg-type]  # never UNCHANGED
    if len(places) == 1:
        place, encode = pairs[0]
        if relation.columns[place].type.base.name in _SHORT:
            return lambda row: encode(row[place])  # type: ignore[arg-type]  # never UNCHANGED
        return lambda row: join_id([encode(row[place])])  # type: ignore[arg-type]  # never UNCHANGED
    return lambda row: join_id([encode(row[place]) for place, encode in pairs])  # type: ignore[arg-type]  # never UNCHANGED
