"""How tightly operators bind, as PostgreSQL's manual lists it: loosest first."""

from __future__ import annotations

from typing import Final

OR, AND, NOT, IS, COMPARISON, RANGE, OTHER, SUM, PRODUCT, POWER, AT_ZONE, SIGN, SUBSCRIPT, CAST = (
    range(1, 15)
)
LOOSEST = 0

BINARY: Final = dict.fromkeys(("<", ">", "=", "<=", ">=", "<>"), COMPARISON) | {
    **dict.fromkeys(("+", "-"), SUM),
    **dict.fromkeys(("*", "/", "%"), PRODUCT),
    "^": POWER,
}
NOT_ASSOCIATIVE: Final = frozenset({IS, COMPARISON, RANGE})
NOT_OPERATORS: Final = frozenset("()[],;:.") | {"::"}
