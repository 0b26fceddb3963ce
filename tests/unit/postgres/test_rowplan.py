"""Whether what the stream says of a table still fits the mapping."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import RejectedError, SourceError
from cdc_daemon.events import Column, ColumnType, Relation
from connectors.postgres.pgoutput import PASS, RelationMessage, StreamColumn
from connectors.postgres.rowplan import tuple_plan, understood

ITEM = Relation(
    "public",
    "item",
    (
        Column("id", ColumnType("int4", oid=23), in_identity=True),
        Column("name", ColumnType("text", oid=25, declared="text")),
    ),
    ("id",),
)
ID, NAME = StreamColumn("id", 23, -1, in_key=True), StreamColumn("name", 25, -1, in_key=False)
OTHER = StreamColumn("other", 16, -1, in_key=False)


def message(*columns: StreamColumn, identity: str = "d") -> RelationMessage:
    """The table as the stream describes it."""
    return RelationMessage(1, "public", "item", identity, columns)


def test_columns_that_are_not_mapped_are_left_out() -> None:
    """Wherever they are; integers pass through, text is converted."""
    plan = tuple_plan(message(OTHER, ID, OTHER, NAME), ITEM)
    assert plan.relation is ITEM
    assert [each is None for each in plan.columns] == [True, False, True, False]
    assert plan.columns[1] is PASS
    assert callable(plan.columns[3])


@pytest.mark.parametrize(
    ("streamed", "says"),
    [
        (message(ID), "no longer streams the mapped column name"),
        (message(NAME, ID), "another order"),
        (message(ID, StreamColumn("name", 1043, -1, in_key=False)), "name .* another type .* text"),
        (message(StreamColumn("id", 23, -1, in_key=False), NAME), "replica identity .* without id"),
    ],
)
def test_a_table_that_changed_is_refused(streamed: RelationMessage, says: str) -> None:
    """A mapped column dropped, moved or retyped, or left out of old rows."""
    with pytest.raises(SourceError, match=says):
        tuple_plan(streamed, ITEM)


def test_whole_old_rows_that_are_no_longer_sent_are_missed() -> None:
    """A mapping that relies on replica identity full stops when it is taken away."""
    full = Relation("public", "item", ITEM.columns, ("id",), replica_identity="full")
    tuple_plan(message(ID, NAME, identity="f"), full)
    with pytest.raises(SourceError, match="replica identity"):
        tuple_plan(message(ID, NAME), full)


def test_another_length_of_text_is_the_same_type() -> None:
    """A modifier doesn't change how a value is written."""
    tuple_plan(message(ID, StreamColumn("name", 25, 24, in_key=False)), ITEM)


@pytest.mark.parametrize("error", [ValueError("bad"), RejectedError("bad", "bad")])
def test_what_can_not_be_understood_stops(error: Exception) -> None:
    """Going on would leave a change out."""
    with (
        pytest.raises(SourceError, match="a row of t can't be understood: bad"),
        understood("a row of t"),
    ):
        raise error
