"""Random PostgreSQL types and values: scalars, and arrays, enums, domains, composites of them.

`random_type(rng)` gives a type with the statements that create it; `random_value_sql(rng, type)`
gives SQL for a value of it. A server refuses some of the values (out of range, say): skip those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.generators.pg_scalars import SCALARS, random_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

RANGES = {
    "int4range": "int4",
    "int8range": "int8",
    "numrange": "numeric",
    "daterange": "date",
    "tsrange": "timestamp",
    "tstzrange": "timestamptz",
}
WITH_MODIFIER = {
    "varchar(20)": "varchar",
    "char(7)": "bpchar",
    "numeric(20,4)": "numeric",
    "timestamp(0)": "timestamp",
    "timestamptz(3)": "timestamptz",
    "time(2)": "time",
    "interval(1)": "interval",
    "bit(9)": "bit",
    "varbit(12)": "varbit",
}
NULL_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class PgType:
    """A type as SQL writes it, what creates it, and the text that its input function takes."""

    sql: str
    text: Callable[[Random], str]
    ddl: tuple[str, ...] = ()
    delimiter: str = ","
    """Between the elements of an array of it."""


def scalar(name: str, *, sql: str = "") -> PgType:
    """A built-in base type by its `typname`."""
    return PgType(sql or f'"{name}"', SCALARS[name], delimiter=";" if name == "box" else ",")


def range_of(name: str, subtype: PgType, ddl: tuple[str, ...] = ()) -> PgType:
    """The range type `name` over `subtype`."""

    def text(rng: Random) -> str:
        if rng.random() < 0.1:
            return "empty"
        bounds = sorted((subtype.text(rng) for _ in range(2)), key=_size)
        low, high = (_doubled(bound) if rng.random() < 0.9 else "" for bound in bounds)
        return f"{rng.choice('[(')}{low},{high}{rng.choice('])')}"

    return PgType(name, text, ddl)


def _size(bound: str) -> tuple[int, float | str]:
    try:
        return 0, float(bound)
    except ValueError:
        return 1, bound


def multirange_of(name: str, ranges: PgType) -> PgType:
    """The multirange type `name` over the range type `ranges`."""

    def text(rng: Random) -> str:
        parts = [ranges.text(rng) for _ in range(rng.randrange(4))]
        return "{" + ",".join(part for part in parts if part != "empty") + "}"

    return PgType(name, text)


def array_of(element: PgType) -> PgType:
    """Arrays of `element`: empty, of up to three dimensions, with NULL, with other lower bounds."""

    def level(rng: Random, lengths: list[int]) -> str:
        if lengths:
            inner = [level(rng, lengths[1:]) for _ in range(lengths[0])]
            return "{" + element.delimiter.join(inner) + "}"
        return "NULL" if rng.random() < NULL_SHARE else _backslashed(element.text(rng))

    def text(rng: Random) -> str:
        if rng.random() < 0.1:
            return "{}"
        lengths = [rng.randint(1, 4) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        starts = [rng.randint(-3, 3) for _ in lengths]
        pairs = zip(starts, lengths, strict=True)
        bounds = "".join(f"[{start}:{start + length - 1}]" for start, length in pairs)
        return (f"{bounds}=" if rng.random() < 0.3 else "") + level(rng, lengths)

    return PgType(f"{element.sql}[]", text, element.ddl)


def enum(rng: Random) -> PgType:
    """A new enum with strange labels."""
    name = _new_name(rng, "enum")
    labels = sorted({random_text(rng)[:15] or "empty" for _ in range(rng.randint(1, 5))})
    ddl = f"create type {name} as enum ({', '.join(map(literal, labels))})"
    return PgType(name, lambda rng: rng.choice(labels), (ddl,))


def domain(rng: Random, base: PgType) -> PgType:
    """A new domain over `base`."""
    name = _new_name(rng, "domain")
    return replace(base, sql=name, ddl=(*base.ddl, f"create domain {name} as {base.sql}"))


def composite(rng: Random, attributes: list[PgType]) -> PgType:
    """A new composite type, sometimes one that has lost an attribute."""
    name = _new_name(rng, "composite")
    columns = [f"{_attribute_name(rng, at)} {one.sql}" for at, one in enumerate(attributes)]
    ddl = [f"create type {name} as ({', '.join(columns)})"]
    if rng.random() < 0.3:
        ddl.append(f"alter type {name} add attribute lost text")
        ddl.append(f"alter type {name} add attribute last text")
        ddl.append(f"alter type {name} drop attribute lost")
        attributes = [*attributes, scalar("text")]

    def text(rng: Random) -> str:
        values = (
            "" if rng.random() < NULL_SHARE else _doubled(one.text(rng)) for one in attributes
        )
        return f"({','.join(values)})"

    return PgType(name, text, (*(line for one in attributes for line in one.ddl), *ddl))


def _attribute_name(rng: Random, at: int) -> str:
    name = rng.choice(["a", "Größe", 'say "x"', "back\\slash", "two words", "line\nend"])
    return '"' + f"{name}{at}".replace('"', '""') + '"'


def new_range(rng: Random) -> PgType:
    """A new range type over text or float8, with its multirange where the server makes one."""
    name = _new_name(rng, "range")
    subtype = rng.choice(["text", "float8"])
    return range_of(name, scalar(subtype), (f"create type {name} as range (subtype = {subtype})",))


def random_type(rng: Random, depth: int = 3) -> PgType:
    """Any type; containers nest up to `depth` levels."""
    kind = rng.choice(["scalar", "modifier", "range", "enum", "array", "domain", "composite"])
    if depth == 0 or kind == "scalar":
        return scalar(rng.choice(sorted(SCALARS)))
    if kind == "modifier":
        sql, name = rng.choice(sorted(WITH_MODIFIER.items()))
        return scalar(name, sql=sql)
    return _random_container(rng, kind, depth)


def _random_container(rng: Random, kind: str, depth: int) -> PgType:
    if kind == "range":
        return new_range(rng) if rng.random() < 0.3 else _built_in_range(rng)
    if kind == "enum":
        return enum(rng)
    if kind == "composite":
        return composite(rng, [random_type(rng, depth - 1) for _ in range(rng.randint(1, 4))])
    inner = random_type(rng, depth - 1)
    if kind == "domain":
        return domain(rng, inner)
    # SQL has no arrays of arrays, but of domains over arrays
    return array_of(domain(rng, inner) if inner.sql.endswith("[]") else inner)


def _built_in_range(rng: Random) -> PgType:
    name, subtype = rng.choice(sorted(RANGES.items()))
    spans = range_of(name, scalar(subtype))
    return spans if rng.random() < 0.5 else multirange_of(name.replace("r", "multir", 1), spans)


def random_value_sql(rng: Random, type_: PgType) -> str:
    """SQL for a value of `type_`, now and then NULL."""
    value = "null" if rng.random() < NULL_SHARE else literal(type_.text(rng))
    return f"cast({value} as {type_.sql})"


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _backslashed(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _doubled(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'


def _new_name(rng: Random, kind: str) -> str:
    return f"{kind}_{rng.getrandbits(48):012x}"
