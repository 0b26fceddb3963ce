"""What the watch takes for a change; what alters documents is tested on real servers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_daemon.events import Column, ColumnShape, ColumnType, Generated, Part, Shape
from cdc_daemon.shapes import altered, difference
from tests.generators.by_hand import table

ITEM = table("id", "name")
OPEN = replace(ITEM, is_open=True)
ID, NAME = ColumnShape(1, "int", "70"), ColumnShape(2, "text", "70")
SHAPE = Shape("16384", "r d 1", {"id": ID, "name": NAME}, "16384")
MORE = replace(SHAPE, columns={**SHAPE.columns, "more": ColumnShape(3, "int", "71")})
PARTS = replace(SHAPE, parts={"5": Part("5")})


def test_what_is_as_it_was_is_no_difference() -> None:
    """Nor is a grant, nor a VACUUM FULL, nor a column that nobody maps."""
    granted = replace(SHAPE, columns={"id": ID, "name": replace(NAME, version="99")})
    for now in (SHAPE, granted, replace(SHAPE, file="7"), MORE):
        assert difference(SHAPE, now, ITEM) is None
    assert difference(MORE, SHAPE, ITEM) is None


def test_columns_that_were_added_are_those_that_are_to_be_shown() -> None:
    """All of an open table, and those that a mapping does without for now."""
    there = ["id", "name", "other", "more"]
    assert replace(ITEM, known=frozenset({"id", "name"})).added(there) == []
    known = replace(ITEM, known=frozenset({"id", "name"}), missing=frozenset({"more", "most"}))
    assert known.added(there) == ["more"]
    assert replace(known, is_open=True).added(there) == ["more", "other"]


def test_a_column_that_was_missing_is_waited_for() -> None:
    """A mapping that does without it, for now, is compiled anew when it comes."""
    waiting = replace(ITEM, missing=frozenset({"more"}))
    assert difference(SHAPE, MORE, waiting) == "column more was added"


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (SHAPE, None, "it is gone"),
        (None, SHAPE, "there again"),
        (SHAPE, replace(SHAPE, columns={"id": ID}), "column name is gone"),
        (SHAPE, MORE, "column more was added"),
        (PARTS, replace(PARTS, parts={**PARTS.parts, "6": Part("6", empty=True)}), "partitions"),
        (PARTS, SHAPE, "partitions"),
        (SHAPE, replace(SHAPE, table="7"), "another table"),
        (SHAPE, replace(SHAPE, key="r f 1"), "replica identity"),
    ],
)
def test_what_the_mappings_must_be_compiled_anew_for(
    before: Shape | None, now: Shape | None, words: str
) -> None:
    """Each in its own words: they are in the log."""
    assert words in str(difference(before, now, OPEN))


def test_a_partition_that_was_away_may_have_other_rows() -> None:
    """The stream hasn't shown who changed them meanwhile."""
    again = replace(SHAPE, parts={"5": Part("5", attached="99")})
    assert altered(PARTS, again, []) == "a partition was detached and attached again"


def test_an_altered_column_counts_only_with_a_rewritten_table() -> None:
    """Each by itself happens every day, and alters no value."""
    both = replace(SHAPE, file="7", columns={"id": ID, "name": replace(NAME, version="99")})
    assert altered(SHAPE, both, ["name"]) == "column name was rewritten"
    assert altered(SHAPE, both, ["id"]) is None


@pytest.mark.parametrize(
    ("total", "words"),
    [
        (ColumnShape(4, "int s 3", "71"), "column total is new"),
        (ColumnShape(3, "int", "71"), "column total is of another type"),
        (None, "column total is gone"),
    ],
)
def test_a_computed_column_is_watched_as_well(total: ColumnShape | None, words: str) -> None:
    """It is in no row; but only where it is shown."""
    made = Generated("price * 2", ("price",))
    computed = (Column("total", ColumnType("int4"), generated=made),)
    columns = {"id": ID, "price": NAME, "total": ColumnShape(3, "int s 2", "70")}
    before = replace(SHAPE, columns=columns)
    columns = {"id": ID, "price": NAME, **({"total": total} if total else {})}
    now = replace(before, columns=columns)
    priced = replace(table("id", "price"), computed=computed)
    assert words in str(difference(before, now, priced))
    assert difference(before, now, table("id", "price")) is None


def test_a_partition_that_comes_empty_brings_nothing() -> None:
    """One with rows does."""
    assert altered(SHAPE, replace(SHAPE, parts={"5": Part("5", empty=True)}), []) is None
    assert altered(SHAPE, PARTS, []) == "a partition with rows was attached"
