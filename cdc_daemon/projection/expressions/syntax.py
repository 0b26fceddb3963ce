"""The shape of an expression as it was written, before names and types are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class TypeName:
    """`numeric(10,2)[]` as written: folded name, modifiers, array or not."""

    name: str
    modifiers: tuple[int, ...]
    array: bool
    at: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, boolean or NULL."""

    at: int
    kind: str
    """`string`, `number`, `boolean` or `null`."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    """A column, perhaps qualified."""

    at: int
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Apply:
    """A function, operator or special form by its name, with its arguments.

    Special forms have names no function can have: `and`, `or`, `not`, `is null`, `case`, `in`, ...
    """

    at: int
    form: str
    """`function`, `operator` or `special`."""
    name: str
    arguments: tuple[Syntax, ...]


@dataclass(frozen=True, slots=True)
class CastTo:
    """`CAST(x AS type)`, `x::type` or `type 'literal'`."""

    at: int
    operand: Syntax
    target: TypeName


Syntax: TypeAlias = Literal | Name | Apply | CastTo
