"""Read types from the catalog, resolved as far down as they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdc_daemon.errors import SourceError
from cdc_daemon.events import ColumnType, TypeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connectors.postgres.session import Connection

_KINDS: Final[dict[str, TypeKind]] = {
    "c": "composite",
    "d": "domain",
    "e": "enum",
    "r": "range",
    "m": "multirange",
}

# A true array is the `typarray` of its element: that tells it from int2vector, point and name,
# which have a `typelem` too. `rngmultitypid` is read through JSON because PostgreSQL 13 has none.
_TYPES: Final = """
select
  t.oid, t.typname::text, t.typtype::text,
  coalesce(e.oid, nullif(t.typbasetype, 0), r.rngsubtype, m.rngtypid),
  t.typtypmod,
  pg_catalog.format_type(t.oid, null),
  array(select l.enumlabel::text from pg_catalog.pg_enum l
        where l.enumtypid = t.oid order by l.enumsortorder),
  coalesce(a.names, '{}'), coalesce(a.types, '{}'), coalesce(a.modifiers, '{}'),
  t.typdelim::text
from pg_catalog.pg_type t
left join pg_catalog.pg_type e on e.oid = t.typelem and e.typarray = t.oid
left join pg_catalog.pg_range r on r.rngtypid = t.oid
left join pg_catalog.pg_range m
  on t.typtype = 'm' and (pg_catalog.to_jsonb(m) ->> 'rngmultitypid')::oid = t.oid
left join lateral (
  select array_agg(attname::text order by attnum) as names,
         array_agg(atttypid order by attnum) as types,
         array_agg(atttypmod order by attnum) as modifiers
  from pg_catalog.pg_attribute
  where t.typtype = 'c' and attrelid = t.typrelid and attnum > 0 and not attisdropped
) a on true
where t.oid = any(%s)
"""

_DECLARED: Final = """
select wanted.oid, wanted.modifier, pg_catalog.format_type(wanted.oid, wanted.modifier)
from unnest(%s::oid[], %s::int4[]) as wanted (oid, modifier)
"""


class _Line(NamedTuple):
    """One type as the catalog has it, other types by oid."""

    oid: int
    name: str
    kind: str
    element: int | None
    """What an array holds, a domain is based on, a range spans; a multirange's range."""
    modifier: int
    """Of a domain: the modifier of its base type."""
    declared: str
    labels: list[str]
    names: list[str]
    types: list[int]
    modifiers: list[int]
    delimiter: str

    @property
    def is_array(self) -> bool:
        return self.kind == "b" and self.element is not None


def load_types(connection: Connection, oids: Iterable[int]) -> dict[int, ColumnType]:
    """Resolve types by oid, one query for each level of nesting, one more for modifiers.

    `modifier` and `declared` of the types themselves are those without a modifier: a column has its
    own (`dataclasses.replace`). Raises SourceError when one has been dropped meanwhile.
    """
    wanted = set(oids)
    lines = _read(connection, wanted)
    missing = sorted(wanted - lines.keys())
    if missing:
        names = ", ".join(map(str, missing))
        raise SourceError(f"PostgreSQL has no type with oid {names}: it was dropped meanwhile")
    declared = _read_declared(connection, lines)
    return {oid: _resolve(oid, -1, lines, declared) for oid in wanted}


def _read(connection: Connection, wanted: Iterable[int]) -> dict[int, _Line]:
    lines: dict[int, _Line] = {}
    level = set(wanted)
    while level:
        read = [_Line(*line) for line in connection.execute(_TYPES, [list(level)]).fetchall()]
        lines.update((line.oid, line) for line in read)
        level = {oid for line in read for oid in _needed(line)} - lines.keys()
    return lines


def _needed(line: _Line) -> list[int]:
    return line.types if line.element is None else [line.element]


def _read_declared(
    connection: Connection, lines: Mapping[int, _Line]
) -> dict[tuple[int, int], str]:
    """How SQL writes the types that have a modifier within domains and composites."""
    pairs = {pair for line in lines.values() for pair in _with_modifier(line)}
    for oid, modifier in list(pairs):  # of an array, it is its elements'
        pairs.update((element, modifier) for element in _array_element(lines[oid]))
    if not pairs:
        return {}
    columns: list[Any] = [[oid for oid, _ in pairs], [modifier for _, modifier in pairs]]
    return {
        (oid, modifier): text
        for oid, modifier, text in connection.execute(_DECLARED, columns).fetchall()
    }


def _with_modifier(line: _Line) -> list[tuple[int, int]]:
    domain = [(oid, line.modifier) for oid in _needed(line) if not line.types]
    attributes = zip(line.types, line.modifiers, strict=True)
    return [(oid, modifier) for oid, modifier in [*domain, *attributes] if modifier != -1]


def _array_element(line: _Line) -> list[int]:
    return _needed(line) if line.is_array else []


def _resolve(
    oid: int, modifier: int, lines: Mapping[int, _Line], declared: Mapping[tuple[int, int], str]
) -> ColumnType:
    line = lines[oid]
    inner = modifier if line.is_array else line.modifier
    attributes = zip(line.names, line.types, line.modifiers, strict=True)
    return ColumnType(
        name=line.name,
        kind="array" if line.is_array else _KINDS.get(line.kind, "base"),
        modifier=modifier,
        element=None if line.element is None else _resolve(line.element, inner, lines, declared),
        attributes=tuple((n, _resolve(t, m, lines, declared)) for n, t, m in attributes),
        labels=tuple(line.labels),
        delimiter=line.delimiter,
        oid=oid,
        declared=declared.get((oid, modifier), line.declared),
    )
