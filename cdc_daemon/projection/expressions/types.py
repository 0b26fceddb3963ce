"""SQL types of expressions: names, categories, implicit casts, and PostgreSQL's choice rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.events import ColumnType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DECLARED: Final = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "numeric": "numeric",
    "float4": "real",
    "float8": "double precision",
    "text": "text",
    "varchar": "character varying",
    "bpchar": "character",
    "bool": "boolean",
    "date": "date",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "interval": "interval",
    "uuid": "uuid",
    "json": "json",
    "jsonb": "jsonb",
    "bytea": "bytea",
    "unknown": "unknown",
}
ALIASES: Final = {
    "smallint": "int2",
    "int": "int4",
    "integer": "int4",
    "bigint": "int8",
    "decimal": "numeric",
    "dec": "numeric",
    "real": "float4",
    "float": "float8",
    "char": "bpchar",
    "character": "bpchar",
    "boolean": "bool",
}
NUMBERS: Final = ("int2", "int4", "int8", "numeric", "float4", "float8")
INTEGERS: Final = NUMBERS[:3]
STRINGS: Final = ("text", "varchar", "bpchar")
_CATEGORY: Final = {
    **dict.fromkeys(NUMBERS, "N"),
    **dict.fromkeys(STRINGS, "S"),
    "bool": "B",
    "interval": "T",
    **dict.fromkeys(("date", "time", "timestamp", "timestamptz"), "D"),
    "unknown": "X",
}
_PREFERRED: Final = frozenset({"float8", "text", "bool", "timestamptz", "interval"})
_IMPLICIT: Final = {
    "int2": ("int4", "int8", "numeric", "float4", "float8"),
    "int4": ("int8", "numeric", "float4", "float8"),
    "int8": ("numeric", "float4", "float8"),
    "numeric": ("float4", "float8"),
    "float4": ("float8",),
    "varchar": ("text", "bpchar"),
    "bpchar": ("text", "varchar"),
    "text": ("varchar", "bpchar"),
    "date": ("timestamp", "timestamptz"),
    "timestamp": ("timestamptz",),
    "time": ("interval",),
}


def simple(name: str) -> ColumnType:
    """The type of that `pg_type.typname`, without modifier."""
    return ColumnType(name, declared=DECLARED.get(name, name))


UNKNOWN: Final = simple("unknown")
TEXT: Final = simple("text")
BOOL: Final = simple("bool")
INT4: Final = simple("int4")


def name_of(column_type: ColumnType) -> str:
    """The name that rules go by: domains are their base type."""
    return column_type.base.name


def shown(column_type: ColumnType) -> str:
    """The type as PostgreSQL's own messages write it, without modifiers."""
    base = column_type.base
    if base.kind == "array" and base.element is not None:
        return shown(base.element) + "[]"
    return DECLARED.get(base.name, base.name)


def category(name: str) -> str:
    """PostgreSQL's type category; types we know little of are each their own."""
    return _CATEGORY.get(name, "U")


def implicit(source: str, target: str) -> bool:
    """Whether PostgreSQL converts `source` to `target` without being asked."""
    return source in (target, "unknown") or target in _IMPLICIT.get(source, ())


@dataclass(frozen=True, slots=True)
class Overload:
    """One function or operator for given argument types."""

    arguments: tuple[str, ...]
    result: str
    run: Callable[..., Any] | str
    """A function of Python values, or a Python expression with {0}, {1} for them."""
    raises: bool = True
    """Whether it can fail: then nothing may skip it that PostgreSQL wouldn't skip."""


def choose(overloads: Iterable[Overload], types: Sequence[str]) -> list[Overload]:
    """PostgreSQL's pick among `overloads`; one is the answer, none or several are errors.

    These are the steps of "Function Type Resolution" in PostgreSQL's manual.
    """
    fitting = [o for o in overloads if len(o.arguments) == len(types)]
    for guess in (types, _both_sides(types)):
        exact = [o for o in fitting if list(o.arguments) == list(guess)]
        if exact:
            return exact[:1]
    fitting = [o for o in fitting if all(map(implicit, types, o.arguments))]
    for score in (_exact_matches, _preferred_matches):
        fitting = _best(fitting, types, score)
        if len(fitting) <= 1:
            return fitting
    return _settle_unknowns(fitting, types)


def _both_sides(types: Sequence[str]) -> Sequence[str]:
    """An operand without a type is first taken to be of the other operand's type."""
    if len(types) == 2 and "unknown" in types and set(types) != {"unknown"}:  # noqa: PLR2004  left and right
        known = next(t for t in types if t != "unknown")
        return (known, known)
    return types


def _exact_matches(overload: Overload, types: Sequence[str]) -> int:
    return sum(a == t for a, t in zip(overload.arguments, types, strict=True))


def _preferred_matches(overload: Overload, types: Sequence[str]) -> int:
    pairs = zip(overload.arguments, types, strict=True)
    return sum(t != "unknown" and (a == t or a in _PREFERRED) for a, t in pairs)


def _best(
    overloads: list[Overload], types: Sequence[str], score: Callable[[Overload, Sequence[str]], int]
) -> list[Overload]:
    scores = [score(o, types) for o in overloads]
    return [o for o, s in zip(overloads, scores, strict=True) if s == max(scores)]


def _settle_unknowns(overloads: list[Overload], types: Sequence[str]) -> list[Overload]:
    for place in (i for i, t in enumerate(types) if t == "unknown"):
        found = {category(o.arguments[place]) for o in overloads}
        wanted = "S" if "S" in found else next(iter(found)) if len(found) == 1 else ""
        if wanted:
            overloads = [o for o in overloads if category(o.arguments[place]) == wanted]
            preferred = [o for o in overloads if o.arguments[place] in _PREFERRED]
            overloads = preferred or overloads
    known = {t for t in types if t != "unknown"}
    if len(overloads) > 1 and len(known) == 1:
        same = known.pop()
        overloads = [o for o in overloads if all(implicit(same, a) for a in o.arguments)]
    return overloads


def common_type(types: Sequence[ColumnType]) -> ColumnType | None:
    """The type of CASE, COALESCE, IN and the like; None when there is no common one."""
    if all(t == types[0] for t in types) and name_of(types[0]) != "unknown":
        return types[0]
    known = [t.base for t in types if name_of(t) != "unknown"]
    if not known:
        return TEXT
    best = known[0]
    for candidate in known[1:]:
        if candidate.name == best.name:
            continue
        if category(candidate.name) != category(best.name) or category(best.name) == "U":
            return None
        if (
            best.name not in _PREFERRED
            and implicit(best.name, candidate.name)
            and not implicit(candidate.name, best.name)
        ):
            best = candidate
    if not all(implicit(t.name, best.name) for t in known):
        return None
    modifiers = (
        {t.modifier for t in known if t.name == best.name} if len(known) == len(types) else {-1}
    )
    same = all(t.name == best.name for t in known) and len(modifiers) == 1
    return best if same or best.kind != "base" else simple(best.name)
