"""Random mappings over a random world: embeds to any depth, junctions, self references, aggregates.

Each is what the YAML of one projection says, and valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.generators.worlds import ORDERED, UNFOUND, Column, Table, World, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

DEEPEST: Final = 4
NUMBERS: Final = frozenset({"int4", "int8", "numeric", "numeric(10,2)", "float8", "grade"})
EXPRESSIONS: Final[dict[str, tuple[str, ...]]] = {
    "int4": ("{c} / 2", "coalesce({c}, 0)", "-({c} + 0)"),
    "int8": ("{c} % 3", "coalesce({c}, 0)"),
    "numeric": ("{c} * 2", "round({c}, 1)"),
    "numeric(10,2)": ("{c} + 0.5",),
    "float8": ("{c} + 1",),
    "text": ("{c} || '!'", "length({c})", "coalesce({c}, 'none')"),
    "varchar(12)": ("{c} || '?'",),
    "grade": ("{c} / 2", "coalesce({c}, 0)"),
    "bool": ("not {c}", "case when {c} then 'yes' when not {c} then 'no' end"),
}
CONDITIONS: Final[dict[str, tuple[str, ...]]] = {
    "int4": ("{c} > 0", "{c} between 0 and 2"),
    "int8": ("{c} <> 1",),
    "numeric": ("{c} <= 1.5",),
    "text": ("{c} <> 'a'", "{c} in ('a', 'b', '')"),
    "bool": ("{c}", "not {c}"),
    "mood": ("{c} > 'sad'",),
    "grade": ("{c} > 0",),
}
ANYTHING: Final = ("{c} is null", "{c} is not null")
NUMERIC: Final[dict[str, tuple[str, ...]]] = {
    **{type_: EXPRESSIONS[type_] for type_ in NUMBERS},
    **dict.fromkeys(("text", "varchar(12)"), ("length({c})",)),
}
"""Expressions that can be summed."""
NEVER_FILLED: Final = "jsonb"
"""A default makes a field a keyword, which takes no objects."""


@dataclass(frozen=True)
class Way:
    """From one table to another."""

    table: Table
    unique: bool
    said: dict[str, Any]
    """`on`, or `through`."""


def random_mapping(rng: Random, world: World) -> dict[str, Any]:
    """A projection with at least one embed where the root has any way to another table."""
    root = rng.choice(world.tables)
    embeds, lent = _embeds(rng, world, root, depth=1, objects=True)
    columns = [*_legible(world, root), *lent]
    mapping: dict[str, Any] = {"from": root.qualified, "fields": _fields(rng, root, columns)}
    if embeds:
        mapping["embed"] = embeds
    if rng.random() < 0.4:
        mapping["where"] = _condition(rng, columns)
    if rng.random() < 0.3:
        end = rng.choice(("", "a", "'s"))
        mapping["id"] = "x-" + rng.choice("-a2|ä").join(f"{{{name}}}" for name in root.key) + end
    return mapping


def _legible(world: World, table: Table, embed: str = "") -> list[tuple[str, str]]:
    """What expressions read: each column as SQL names it, with its type.

    Not what may hold a special value, which is NULL to them.
    """
    before = f"{quoted(embed)}." if embed else ""
    return [
        (before + quoted(column.name), column.type)
        for column in table.columns
        if column.name in table.key or not world.has_special(column.type)
    ]


def _fields(rng: Random, table: Table, columns: list[tuple[str, str]]) -> Any:
    if rng.random() < 0.15:
        return "*"
    names = [column.name for column in table.columns]
    chosen = rng.sample(names, rng.randint(1, len(names)))
    if rng.random() < 0.3:
        return chosen
    fields: dict[str, Any] = dict.fromkeys(chosen)
    for at in range(rng.randint(0, 3)):
        fields[f"x{at}"] = {"expression": _expression(rng, columns)}
    if rng.random() < 0.2:
        fields["fixed"] = {"constant": {"a": [1, None]}}
    if rng.random() < 0.2 and (fillable := _fillable(table)):
        fields["filled"] = {"column": rng.choice(fillable), "default": "none"}
    return fields


def _fillable(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.type != NEVER_FILLED]


def _expression(rng: Random, columns: list[tuple[str, str]]) -> str:
    name, type_ = rng.choice(columns)
    return rng.choice((*EXPRESSIONS.get(type_, ()), *ANYTHING)).format(c=name)


def _condition(rng: Random, columns: list[tuple[str, str]]) -> str:
    parts = []
    for _ in range(rng.randint(1, 2)):
        name, type_ = rng.choice(columns)
        parts.append(rng.choice((*CONDITIONS.get(type_, ()), *ANYTHING)).format(c=name))
    return rng.choice((" and ", " or ")).join(parts)


def _embeds(
    rng: Random, world: World, table: Table, *, depth: int, objects: bool
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Embeds of `table`, and the columns that they lend to its expressions."""
    if depth > DEEPEST:
        return {}, []
    embeds: dict[str, Any] = {}
    lent: list[tuple[str, str]] = []
    for at in range(rng.choice((0, 1, 1, 2, 3) if depth > 1 else (1, 2, 3, 4))):
        ways = list(_ways(rng, world, table))
        if not ways:
            break
        way = rng.choice(ways)
        name = f"{rng.choice('eE')}{depth}{at}"
        if not objects:
            if way.unique:
                return {name: {"one": way.table.qualified, **way.said}}, _legible(
                    world, way.table, name
                )
            continue
        if way.unique and rng.random() < 0.7:
            embeds[name] = _one(rng, world, way, table, depth)
            lent += _legible(world, way.table, name)
        else:
            kind = rng.choice(("many", "many", "many", "aggregate", "aggregate", "first"))
            maker = {"many": _many, "aggregate": _aggregate, "first": _first}[kind]
            embeds[name] = maker(rng, world, way, table, depth)
    return embeds, lent


def _ways(rng: Random, world: World, table: Table) -> Iterator[Way]:
    for way in _steps(world, table):
        said = {"on": way.said}
        yield Way(way.table, way.unique, said)
        if way.table is table or rng.random() < 0.5:
            continue
        for further in _steps(world, way.table):
            first = {"table": way.table.qualified, "on": way.said}
            if rng.random() < 0.2:
                first["where"] = _condition(rng, _legible(world, way.table))
            through: Any = {**first, "to": further.said}
            yield Way(
                further.table,
                way.unique and further.unique,
                {"through": rng.choice((through, [through]))},
            )
            if rng.random() < 0.15:
                yield from _longer(world, first, further)


def _longer(world: World, first: dict[str, Any], middle: Way) -> Iterator[Way]:
    """Over two junctions."""
    for last in _steps(world, middle.table):
        second = {"table": middle.table.qualified, "on": middle.said, "to": last.said}
        yield Way(last.table, unique=False, said={"through": [first, second]})


def _steps(world: World, table: Table) -> Iterator[Way]:
    """Along references, forwards and backwards, and between columns that are alike."""
    for reference in table.references:
        target = world.table(reference.target)
        yield Way(target, unique=True, said=_pairs(reference.target_columns, reference.columns))
    for other in world.tables:
        for reference in other.references:
            if reference.target == table.qualified:
                said = _pairs(reference.columns, reference.target_columns)
                yield Way(other, reference.unique, said)
    for other in world.tables:
        for one, near in _alike(other, table):
            unique = other.key == (one.name,)
            yield Way(other, unique, {one.name: near.name})


def _pairs(far: tuple[str, ...], near: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(far, near, strict=True))


def _alike(far: Table, near: Table) -> Iterator[tuple[Column, Column]]:
    """The first columns of one type, which say nothing of each other."""
    for one in far.columns:
        for other in near.columns:
            alike = one.type == other.type and one.type not in UNFOUND
            if alike and one.name == other.name:
                yield one, other
                return


def _common(
    rng: Random, world: World, way: Way, depth: int, *, objects: bool
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    embeds, lent = _embeds(rng, world, way.table, depth=depth + 1, objects=objects)
    columns = [*_legible(world, way.table), *lent]
    said = dict(way.said)
    if embeds:
        said["embed"] = embeds
    if lent and not objects:
        said["where"] = _condition(rng, lent)  # what is not shown must be read
    elif rng.random() < 0.4:
        said["where"] = _condition(rng, columns)
    return said, columns


def _one(rng: Random, world: World, way: Way, near: Table, depth: int) -> dict[str, Any]:
    said, columns = _common(rng, world, way, depth, objects=True)
    said["one"] = way.table.qualified
    said["fields"] = _fields(rng, way.table, columns)
    _repeat(rng, said, way, near)
    return said


def _many(rng: Random, world: World, way: Way, near: Table, depth: int) -> dict[str, Any]:
    values = rng.random() < 0.35
    said, columns = _common(rng, world, way, depth, objects=not values)
    said["many"] = way.table.qualified
    if values:
        said["value"] = _value(rng, way.table, columns)
    else:
        said["fields"] = _fields(rng, way.table, columns)
        said["nested"] = rng.random() < 0.3
        _repeat(rng, said, way, near)
    _order(rng, said, way.table)
    if rng.random() < 0.3:
        said["limit"] = rng.randint(1, 3)
    said["distinct"] = rng.random() < 0.3 and _has_equality(way.table, said.get("value"))
    return said


def _has_equality(table: Table, value: Any) -> bool:
    """Whether `distinct` can tell values apart; those of expressions always."""
    name = value.get("column") if isinstance(value, dict) else value
    return name is None or table.column(name).type != "int4[]"


def _first(rng: Random, world: World, way: Way, _: Table, depth: int) -> dict[str, Any]:
    values = rng.random() < 0.5
    said, columns = _common(rng, world, way, depth, objects=not values)
    said[rng.choice(("first", "last"))] = way.table.qualified
    if values:
        said["value"] = _value(rng, way.table, columns)
    else:
        said["fields"] = _fields(rng, way.table, columns)
    _order(rng, said, way.table)
    return said


def _aggregate(rng: Random, world: World, way: Way, _: Table, depth: int) -> dict[str, Any]:
    said, columns = _common(rng, world, way, depth, objects=False)
    fitting = {
        "count": [column.name for column in way.table.columns],
        **dict.fromkeys(("sum", "avg"), _names(way.table, NUMBERS)),
        **dict.fromkeys(("min", "max"), _names(way.table, ORDERED)),
        **dict.fromkeys(("bool_and", "bool_or"), _names(way.table, frozenset({"bool"}))),
    }
    kind = rng.choice([kind for kind, names in fitting.items() if names])
    said[kind] = way.table.qualified
    if kind != "count" or rng.random() < 0.5:
        said["value"] = _aggregated(rng, kind, fitting[kind], way.table, columns)
    if kind == "count":
        said["distinct"] = rng.random() < 0.5 and _has_equality(way.table, said.get("value"))
    if "embed" in said and _borrows(said.get("value"), said["embed"]) and rng.random() < 0.5:
        del said["where"]  # the value is enough of a reason to read what isn't shown
    return said


def _aggregated(
    rng: Random, kind: str, fitting: list[str], table: Table, columns: list[tuple[str, str]]
) -> Any:
    """A column of the table; or an expression over them, and over what its `one` lends."""
    value: Any = rng.choice(fitting)
    if rng.random() < 0.4:
        expressions = _aggregable(kind, columns)
        value = {"expression": rng.choice(expressions)} if expressions else value
    fillable = isinstance(value, dict) or value in _fillable(table)
    if fillable and rng.random() < 0.3:
        value = {**(value if isinstance(value, dict) else {"column": value}), "default": "none"}
    return value


def _aggregable(kind: str, columns: list[tuple[str, str]]) -> list[str]:
    """The expressions that an aggregate takes."""
    made: dict[str, tuple[str, ...]] = EXPRESSIONS
    if kind in {"sum", "avg"}:
        made = NUMERIC
    elif kind in {"bool_and", "bool_or"}:
        made = CONDITIONS
    always = () if made is NUMERIC else ANYTHING
    return [
        one.format(c=name) for name, type_ in columns for one in (*made.get(type_, ()), *always)
    ]


def _borrows(value: Any, embeds: dict[str, Any]) -> bool:
    written = value.get("expression", "") if isinstance(value, dict) else ""
    return any(f"{quoted(name)}." in written for name in embeds)


def _names(table: Table, types: frozenset[str]) -> list[str]:
    return [column.name for column in table.columns if column.type in types]


def _value(rng: Random, table: Table, columns: list[tuple[str, str]]) -> Any:
    column = rng.choice([column.name for column in table.columns])
    if rng.random() < 0.3:
        return {"expression": _expression(rng, columns)}
    if column not in _fillable(table):
        return column
    return rng.choice((column, {"column": column, "default": "none"}))


def _order(rng: Random, said: dict[str, Any], table: Table) -> None:
    names = _names(table, ORDERED)
    if rng.random() < 0.6:
        chosen = rng.sample(names, rng.randint(1, min(3, len(names))))
        said["order_by"] = ", ".join(
            quoted(name)
            + rng.choice(("", " asc", " desc"))
            + rng.choice(("", " nulls first", " nulls last"))
            for name in chosen
        )


def _repeat(rng: Random, said: dict[str, Any], way: Way, near: Table) -> None:
    if way.table is near and rng.random() < 0.6:
        said["depth"] = rng.randint(1, 3)
