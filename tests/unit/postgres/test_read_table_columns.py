"""Fields of a read model as columns of its table."""

from __future__ import annotations

import pytest

from cdc_daemon.events import ColumnType
from cdc_daemon.ports import FieldSpec, ReadModel
from connectors.postgres.readtables.columns import Column, columns_of

INT4 = ColumnType("int4")
INTS = ColumnType("_int4", "array", element=INT4)
PAIR = ColumnType("pair", "composite", attributes=(("a", INT4),))


def column(field: FieldSpec) -> str | None:
    """The type of the field's column, None where it has none."""
    found = columns_of(ReadModel("hotels", (field,), "f"))
    assert all(one.name == field.name for one in found)
    return found[0].type if found else None


@pytest.mark.parametrize(
    ("field_type", "expected"),
    [
        (INT4, "integer"),
        (ColumnType("numeric", modifier=655366), "numeric"),
        (ColumnType("varchar"), "text"),
        (ColumnType("timestamptz"), "timestamp with time zone"),
        (ColumnType("age", "domain", element=INT4), "integer"),
        (ColumnType("mood", "enum", labels=("sad",)), "text"),
        (ColumnType("point"), "text"),
        (INTS, "integer[]"),
        (ColumnType("_mood", "array", element=ColumnType("mood", "enum")), "text[]"),
        (PAIR, "jsonb"),
        (ColumnType("_pair", "array", element=PAIR), "jsonb"),
        (ColumnType("_ints", "array", element=ColumnType("ints", "domain", element=INTS)), "jsonb"),
        (ColumnType("_int2vector", "array", element=ColumnType("int2vector")), "jsonb"),
        (ColumnType("jsonb"), "jsonb"),
    ],
)
def test_a_column_has_the_type_of_the_field(field_type: ColumnType, expected: str) -> None:
    """Built-in types that read back what the document says, and text for all others."""
    assert column(FieldSpec("f", field_type)) == expected


@pytest.mark.parametrize(
    ("default", "expected"),
    [(0, "integer"), (2**31, "text"), (0.5, "text"), ("none", "text"), (False, "text")],
)
def test_a_default_of_another_type_makes_a_column_text(default: object, expected: str) -> None:
    """It would otherwise keep every row out that has none."""
    assert column(FieldSpec("f", INT4, default=default)) == expected
    listed = "text" if expected == "text" else "integer[]"
    assert column(FieldSpec("f", INT4, default=default, several=True)) == listed
    assert column(FieldSpec("f", INTS, default=default)) == "text"


@pytest.mark.parametrize(
    ("example", "expected"),
    [(True, "boolean"), (1, "numeric"), (0.5, "double precision"), ("a", "text"), ({}, "jsonb")],
)
def test_a_constant_has_a_column_of_its_own_kind(example: object, expected: str) -> None:
    """By what it is."""
    assert column(FieldSpec("f", None, example=example)) == expected


@pytest.mark.parametrize(
    "field",
    [
        FieldSpec("a.b", INT4),
        FieldSpec("chain", None, children=(FieldSpec("id", INT4),)),
        FieldSpec("ctid", INT4),
        FieldSpec("ä" * 32, INT4),
    ],
    ids=["within an object", "object", "PostgreSQL's own", "too long"],
)
def test_some_fields_are_only_in_the_document(field: FieldSpec) -> None:
    """Those that can't be a column, or are in one."""
    assert columns_of(ReadModel("hotels", (field, FieldSpec("id", INT4)), "f")) == (
        Column("id", "integer"),
    )


def test_several_arrays_are_json() -> None:
    """They may differ in length, which arrays in an array can't."""
    assert column(FieldSpec("f", INTS, several=True)) == "jsonb"
