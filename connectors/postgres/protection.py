"""Protects columns: values are hashed, masked or truncated where they are read, or left out. Pure.

What a rule does is part of a column's plan, so a column without one costs nothing (CPython 3.11,
ns a call: hashed 440, masked 36, truncated 280 to 350). No encoder here lets a value out with its
errors.
"""

from __future__ import annotations

import hashlib
from codecs import utf_8_decode
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from cdc_daemon.errors import RejectedError, SettingError
from cdc_daemon.events import ColumnType, Protection
from cdc_daemon.nearest import nearest
from connectors.postgres.columnrules import column_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from cdc_daemon.events import Column, Relation
    from cdc_daemon.values import Encoder
    from connectors.postgres.columnrules import ColumnRule

TRUNCATED_TYPES: Final = frozenset({"text", "varchar", "bpchar", "citext"})
"""What is still of its type when it is cut."""

LONGEST_CHARACTER_BYTES: Final = 4
"""In UTF-8."""


class UnusedRule(NamedTuple):
    """A rule that protects no column."""

    place: int
    """In the list of rules."""
    rule: ColumnRule
    why: str


class Protector:
    """Applies the rules to relations as the catalog describes them."""

    def __init__(self, rules: Sequence[ColumnRule]) -> None:
        self._rules = rules
        self._patterns = [column_pattern(rule.match) for rule in rules]

    def protect(self, relations: Sequence[Relation]) -> list[Relation]:
        """The relations as they may leave this connector.

        Raises SettingError where a rule doesn't fit the type of a column.
        """
        if not self._rules:
            return list(relations)
        mistakes = dict.fromkeys(each for one in relations for each in self._misfits(one))
        if mistakes:
            raise SettingError(list(mistakes))
        return [self._protected(relation) for relation in relations]

    def require_used(self, relations: Sequence[Relation]) -> list[UnusedRule]:
        """What of the rules is unused, and may be there for columns to come: patterns.

        Raises SettingError where a rule names one column, and that isn't there: it is mistyped.
        """
        unused = self.unused(relations)
        if mistakes := [
            (("columns", each.place, "match"), each.why) for each in unused if each.rule.names_one
        ]:
            raise SettingError(mistakes)
        return unused

    def unused(self, relations: Sequence[Relation]) -> list[UnusedRule]:
        """The rules that protect none of `relations`, and why."""
        columns = [
            (relation, column)
            for relation in relations
            for column in (*relation.columns, *relation.computed)
        ]
        used = {self._place(relation, column) for relation, column in columns}
        return [
            UnusedRule(place, rule, self._why_unused(place, columns))
            for place, rule in enumerate(self._rules)
            if place not in used
        ]

    def _place(self, relation: Relation, column: Column) -> int | None:
        """Which rule counts for a column: the first that matches it."""
        return next(
            (at for at in range(len(self._rules)) if self._matches(at, relation, column)), None
        )

    def _matches(self, place: int, relation: Relation, column: Column) -> bool:
        names = (relation.schema, relation.name, column.name)
        pairs = zip(self._patterns[place], names, strict=True)
        return all(pattern.fullmatch(name) for pattern, name in pairs)

    def _misfits(self, relation: Relation) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for column in relation.columns:
            place = self._place(relation, column)
            if place is None or self._rules[place].truncate is None or _is_text(column.type):
                continue
            name = f"{relation.qualified_name}.{column.name}"
            why = (
                f"only text can be truncated, and {name} is {column.type.declared}. Use hash, mask "
                "or exclude, or name the columns more exactly"
            )
            yield ("columns", place, "truncate"), why

    def _protected(self, relation: Relation) -> Relation:
        kept: list[Column] = []
        excluded: list[str] = []
        ruled = {
            column.name
            for column in (*relation.columns, *relation.computed)
            if self._place(relation, column) is not None
        }
        for column in relation.columns:
            place = self._place(relation, column)
            if place is None and not _shows(column, ruled):
                kept.append(column)
            elif place is None or self._rules[place].exclude:
                excluded.append(column.name)
            else:
                kept.append(_by_rule(column, self._rules[place]))
        shown = [each for each in relation.computed if not _shows(each, ruled)]
        excluded.extend(each.name for each in relation.computed if each not in shown)
        return replace(
            relation, columns=tuple(kept), excluded=tuple(excluded), computed=tuple(shown)
        )

    def _why_unused(self, place: int, columns: Sequence[tuple[Relation, Column]]) -> str:
        match = self._rules[place].match
        if any(self._matches(place, *each) for each in columns):
            return (
                f'earlier rules have taken every column that "{match}" matches, and of several the '
                "first counts: put this one before them, or take it out"
            )
        parts = match.count(".") + 1
        names = (f"{relation.qualified_name}.{column.name}" for relation, column in columns)
        close = nearest(match, (".".join(name.split(".")[-parts:]) for name in names))
        hint = f"; did you mean {close}?" if close else ""
        return f'no mapped table has a column "{match}"{hint}'


def _shows(column: Column, ruled: AbstractSet[str]) -> bool:
    """Whether a column would show what the rules for others protect: it is generated from them.

    One that is computed elsewhere also where it is ruled itself: that comes too early for it.
    """
    made_of = () if column.generated is None else column.generated.inputs
    return not ruled.isdisjoint((*made_of, column.name))


def _is_text(type: ColumnType) -> bool:  # noqa: A002 - what it is
    return type.base.kind == "base" and type.base.name in TRUNCATED_TYPES


def _by_rule(column: Column, rule: ColumnRule) -> Column:
    """The column as a rule leaves it; its type keeps the oid, by which the stream names it."""
    declared = column.type.declared or column.type.name
    if rule.truncate is not None:
        digest = _digest("truncated", str(rule.truncate), declared)
        how = Protection("truncated", declared, digest, truncated(rule.truncate))
        return replace(column, protection=how)
    if rule.hash is not None:
        salt = rule.hash.salt.get_secret_value()
        digest = _digest("hashed", rule.hash.algorithm, salt, declared)
        how = Protection("hashed", declared, digest, hashed(rule.hash.algorithm, salt))
    else:
        text = rule.mask_text or ""
        how = Protection("masked", declared, _digest("masked", text, declared), masked(text))
    text_type = ColumnType("text", oid=column.type.oid, declared="text")
    return replace(column, type=text_type, protection=how)


def _digest(*said: str) -> str:
    return hashlib.sha256(ascii(said).encode()).hexdigest()


def hashed(algorithm: str, salt: str) -> Encoder:
    """The digest of the salt and then the value's text, in hexadecimal digits.

    Not an HMAC: this is what PostgreSQL's own functions make, so that a value can be looked up.
    """
    before = salt.encode(errors="surrogatepass")
    digest = getattr(hashlib, algorithm)

    def encode(raw: bytes) -> bytes:
        return b'"%b"' % digest(before + raw).hexdigest().encode()

    return encode


def masked(text: str) -> Encoder:
    """The same text for every value."""
    shown = orjson.dumps(text)

    def encode(_: bytes) -> bytes:
        return shown

    return encode


def truncated(length: int) -> Encoder:
    """The first characters, never half of one; of a large value no more is decoded than that."""
    most = LONGEST_CHARACTER_BYTES * length

    def encode(raw: bytes) -> bytes:
        try:
            text, _ = utf_8_decode(raw[:most], "strict", len(raw) <= most)
        except UnicodeDecodeError as error:
            explanation = f"a text value is not UTF-8: {error.reason}"
            raise RejectedError("not_utf8", explanation, concealed=True) from None
        return b"%b" % orjson.dumps(text[:length])

    return encode
