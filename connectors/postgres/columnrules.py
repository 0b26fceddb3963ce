"""The rules that protect columns, as the `source:` section says them."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    StrictBool,
    StrictInt,
    Tag,
    model_validator,
)

SALT_CHARACTERS: Final = 16
"""A shorter salt could be found by trying, and with it every e-mail address or number."""
LONGEST_MASK: Final = 1000
"""Says nothing more than a shorter one."""

_MOST_PARTS: Final = 3
"""Schema, table, column."""
_WILDCARDS: Final = {"*": ".*", "?": "."}

# Marks of the two ways to write `mask`: no key can have such a name, so that the paths of
# pydantic's errors can be told from it.
_TEXT_TAG: Final = ".text"
_LENGTH_TAG: Final = ".length"

Pattern: TypeAlias = tuple[re.Pattern[str], ...]
"""What schema, table and column must be."""


def column_pattern(match: str) -> Pattern:
    """The pattern that `match` says: parts that are left out, from the left, may be anything.

    Raises ValueError if it is none.
    """
    parts = match.split(".")
    if len(parts) > _MOST_PARTS or not all(parts):
        raise ValueError(
            "expected a column, table.column or schema.table.column, in which * stands for any "
            "characters and ? for one"
        )
    whole = ["*"] * (_MOST_PARTS - len(parts)) + parts
    return tuple(re.compile(_as_regex(part), re.IGNORECASE | re.DOTALL) for part in whole)


def _as_regex(part: str) -> str:
    return "".join(_WILDCARDS.get(each) or re.escape(each) for each in part)


def _pattern(value: str) -> str:
    column_pattern(value)
    return value


def _salt(value: SecretStr) -> SecretStr:
    if len(value) < SALT_CHARACTERS:
        raise ValueError(f"expected a secret of {SALT_CHARACTERS} characters or more")
    return value


class HashConfig(BaseModel):
    """Replace values by their digest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    salt: Annotated[SecretStr, AfterValidator(_salt)] = Field(
        description="A secret that is put before each value, of 16 characters or more: without it "
        "nobody can try which value has a digest. Another salt makes all documents anew.",
    )
    algorithm: Literal["sha256", "sha384", "sha512"] = Field(
        default="sha256", description="The digest: `sha256`, `sha384` or `sha512`."
    )


class MaskConfig(BaseModel):
    """Replace values by asterisks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    length: StrictInt = Field(
        ge=1, le=LONGEST_MASK, description="How many asterisks, however long the value is."
    )


def _mask(value: str) -> str:
    if not value.isprintable():
        raise ValueError("expected text without control characters")
    return value


def _way_of_mask(value: object) -> str:
    return _LENGTH_TAG if isinstance(value, dict | MaskConfig) else _TEXT_TAG


class ColumnRule(BaseModel):
    """What is done to the columns that match, before a value leaves the connector."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: Annotated[str, AfterValidator(_pattern)] = Field(
        description="The columns: `column`, `table.column` or `schema.table.column`. `*` stands "
        "for any characters of a name, `?` for one; upper and lower case don't matter."
    )
    hash: HashConfig | None = Field(
        default=None, description="Replace values by their digest, in hexadecimal digits."
    )
    mask: (
        Annotated[
            Annotated[str, AfterValidator(_mask), Tag(_TEXT_TAG)]
            | Annotated[MaskConfig, Tag(_LENGTH_TAG)],
            Discriminator(_way_of_mask),
        ]
        | None
    ) = Field(
        default=None,
        description="Replace values by this text, or by so many asterisks: `{length: 10}`.",
    )
    truncate: StrictInt | None = Field(
        default=None, ge=1, description="Keep so many characters of each text, from its beginning."
    )
    exclude: StrictBool = Field(
        default=False, description="Leave the columns out: to mappings they don't exist."
    )

    @model_validator(mode="after")
    def _does_one_thing(self) -> ColumnRule:
        given = (self.hash, self.mask, self.truncate, self.exclude or None)
        if sum(each is not None for each in given) != 1:
            raise ValueError(
                "expected one of `hash: {salt: ...}`, `mask: TEXT`, `truncate: CHARACTERS` and "
                "`exclude: true`"
            )
        return self

    @property
    def names_one(self) -> bool:
        """Whether it names a column, rather than a pattern for what may be there."""
        return _WILDCARDS.keys().isdisjoint(self.match)

    @property
    def mask_text(self) -> str | None:
        """What masked values become; None if it doesn't mask."""
        return "*" * self.mask.length if isinstance(self.mask, MaskConfig) else self.mask
