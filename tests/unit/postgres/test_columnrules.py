"""The rules for columns: which columns a pattern means, and what a rule may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from connectors.postgres.columnrules import ColumnRule, column_pattern

SALT = "0123456789abcdef"


def matches(match: str, schema: str, table: str, column: str) -> bool:
    """Whether the pattern means that column."""
    names = (schema, table, column)
    return all(
        part.fullmatch(name) for part, name in zip(column_pattern(match), names, strict=True)
    )


@pytest.mark.parametrize(
    ("match", "schema", "table", "column", "meant"),
    [
        ("public.user.email", "public", "user", "email", True),
        ("public.user.email", "audit", "user", "email", False),
        ("user.email", "audit", "user", "email", True),
        ("email", "audit", "user", "email", True),
        ("email", "public", "user", "email2", False),
        ("*.phone", "public", "user", "phone", True),
        ("*.phone", "public", "user", "telephone", False),
        ("*.password*", "public", "user", "password_hash", True),
        ("*password*", "public", "user", "UserPassword", True),
        ("public.*.*", "public", "user", "email", True),
        ("public.*", "public", "user", "email", False),
        ("PUBLIC.User.EMAIL", "public", "user", "email", True),
        ("line?", "public", "user", "line1", True),
        ("line?", "public", "user", "line", False),
        ("api*", "public", "user", "api.password", True),
        ("user.api?password", "public", "user", "api.password", True),
        ("a[b]", "public", "user", "b", False),
        ("a[b]", "public", "user", "a[b]", True),
        ("*", "public", "user", "two\nlines", True),
        ("straße", "public", "user", "Straße", True),
    ],
)
def test_a_pattern_means_columns(
    match: str, schema: str, table: str, column: str, *, meant: bool
) -> None:
    """Part by part from the right, in any case; what is left out may be anything."""
    assert matches(match, schema, table, column) is meant


@pytest.mark.parametrize("match", ["", ".", "a.", ".a", "a..b", "a.b.c.d"])
def test_what_is_no_pattern_is_refused(match: str) -> None:
    """With an explanation of what is one."""
    with pytest.raises(ValidationError, match=r"expected a column, table\.column or"):
        ColumnRule.model_validate({"match": match, "exclude": True})


@pytest.mark.parametrize(
    "says",
    [
        {},
        {"exclude": False},
        {"mask": "x", "exclude": True},
        {"hash": {"salt": SALT}, "truncate": 3},
        {"mask": "", "truncate": 3},
    ],
)
def test_a_rule_does_one_thing(says: dict[str, Any]) -> None:
    """Nothing, or two things, is a mistake; an empty mask is a mask."""
    with pytest.raises(ValidationError, match="expected one of `hash"):
        ColumnRule.model_validate({"match": "x", **says})


@pytest.mark.parametrize(
    "says",
    [
        {"hash": {}},
        {"hash": {"salt": SALT[1:]}},
        {"hash": {"salt": SALT, "algorithm": "md5"}},
        {"mask": {"length": 0}},
        {"mask": {"length": 1001}},
        {"mask": "two\nlines"},
        {"mask": "\ud800"},
        {"truncate": 0},
        {"truncate": "3"},
    ],
)
def test_what_would_not_protect_is_refused(says: dict[str, Any]) -> None:
    """A salt that can be guessed, a broken digest, a length of nothing."""
    with pytest.raises(ValidationError):
        ColumnRule.model_validate({"match": "x", **says})


def test_a_mask_is_a_text_or_so_many_asterisks() -> None:
    """However long the value is."""
    rules: list[dict[str, Any]] = [
        {"mask": "hidden"},
        {"mask": ""},
        {"mask": {"length": 4}},
        {"truncate": 4},
    ]
    texts = [ColumnRule.model_validate({"match": "x", **each}).mask_text for each in rules]
    assert texts == ["hidden", "", "****", None]


def test_the_salt_is_never_shown() -> None:
    """Neither as text nor as JSON."""
    rule = ColumnRule.model_validate({"match": "x", "hash": {"salt": SALT}})
    assert SALT not in f"{rule!r} {rule} {rule.model_dump()} {rule.model_dump_json()}"
