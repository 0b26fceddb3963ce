"""Whether what the stream says of a table still fits the mapping."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_daemon.errors import RejectedError, SourceError
from cdc_daemon.events import Column, ColumnType, Relation
from connectors.postgres.rowplan import tuple_plan, understood
from connectors.postgres.tupleplan import PASS, RelationMessage, StreamColumn

ITEM = Relation(
    "public",
    "item",
    (
        Column("id", ColumnType("int4", oid=23), in_identity=True),
        Column("name", ColumnType("text", oid=25, declared="text")),
    ),
    ("id",),
    known=frozenset({"id", "name"}),
    order=("id", "name"),
)
ID, NAME = StreamColumn("id", 23, -1, in_key=True), StreamColumn("name", 25, -1, in_key=False)
OTHER = StreamColumn("other", 16, -1, in_key=False)


def message(*columns: StreamColumn, identity: str = "d") -> RelationMessage:
    """The table as the stream describes it."""
    return RelationMessage(1, "public", "item", identity, columns)


def test_columns_that_are_not_listed_are_as_good_as_dropped() -> None:
    """A publication may leave them out, wherever they stand; a swap is seen all the same."""
    item = replace(ITEM, order=("secret", "id", "pin", "name", "salt"), known=ITEM.known | {"pin"})
    assert tuple_plan(message(ID, NAME), item).relation.misfit
    assert not tuple_plan(message(ID, NAME), item, listed={"id", "name"}).relation.misfit
    assert not tuple_plan(message(ID, NAME, OTHER), item, listed={"id", "name"}).relation.misfit
    now = ("secret", "name", "pin", "id", "salt")
    assert tuple_plan(message(ID, NAME), item, order=now, listed={"id", "name"}).relation.misfit


def test_columns_that_are_not_mapped_are_left_out() -> None:
    """Wherever they are; integers pass through, text is converted."""
    item = replace(ITEM, order=("", "id", "", "name"))
    plan = tuple_plan(message(OTHER, ID, OTHER, NAME), item)
    assert plan.relation is item
    assert [each is None for each in plan.columns] == [True, False, True, False]
    assert plan.columns[1] is PASS
    assert callable(plan.columns[3])


@pytest.mark.parametrize(
    ("streamed", "says"),
    [
        (message(ID), "no column name"),
        (message(NAME, ID), "in the order name, id"),
        (message(ID, StreamColumn("name", 1043, -1, in_key=False)), "name has another type than t"),
        (message(StreamColumn("id", 23, -1, in_key=False), NAME), "old rows come without id"),
    ],
)
def test_a_table_of_another_shape_is_a_misfit(streamed: RelationMessage, says: str) -> None:
    """A mapped column lacking, moved or of another type, or left out of old rows."""
    plan = tuple_plan(streamed, ITEM)
    assert plan.relation.stands_for is ITEM
    assert says in plan.relation.misfit
    assert plan.columns == (None,) * len(streamed.columns), "of its values nothing is taken"


@pytest.mark.parametrize(
    ("now", "streamed", "fits"),
    [
        ("id n m", "id n m", True),
        ("id n m", "id m n", False),  # swapped, and swapped back
        ("id n m", "id x n", False),
        ("id n", "id n_old n", False),  # n_old was n, and is again
        ("id n -", "id n_old n", False),
        ("id - n", "id gone n", True),
        ("id - n", "id n", True),
        ("id - n", "id n gone", False),  # gone was n
        ("id n -", "id n gone", True),
        ("id - n -", "id gone n", False),  # gone may have been n, and n the one after it
        ("id - n -", "id gone n more", True),
        ("id - n m", "id gone n", False),
        ("id - n m", "id gone n m", True),
        ("id - n m", "id m n", False),
        ("id n m", "id n", True),  # m was added later
        ("id m n", "id n", False),  # it was m: nothing is added between two columns
        ("id n", "id made n", True),  # a generated one is streamed or not
    ],
)
def test_a_name_that_may_have_been_that_of_another_column(
    now: str, streamed: str, *, fits: bool
) -> None:
    """Only `id` and `n` are mapped; `-` was dropped. What can't be told is a misfit."""
    order = tuple(now.replace("-", "").split(" "))
    number = ColumnType("int4", oid=23)
    item = replace(
        ITEM,
        columns=(ITEM.columns[0], Column("n", number)),
        known=frozenset(filter(None, order)) | {"made"},
        order=order,
    )
    rest = [StreamColumn(name, 23, -1, in_key=False) for name in streamed.split()[1:]]
    misfit = tuple_plan(message(ID, *rest), item).relation.misfit
    assert ("may be another one of that name" in misfit) is not fits


def test_a_column_that_was_added_later_is_null() -> None:
    """Where the table still has it, and rows from before hold null."""
    assert tuple_plan(message(ID), ITEM, lambda names: names == ["name"]).lacking == 1
    assert tuple_plan(message(ID), ITEM, lambda _: False).relation.misfit, "dropped by now"
    (key, name) = ITEM.columns
    filled = replace(ITEM, columns=(key, replace(name, plain=False)))
    assert tuple_plan(message(ID), filled, lambda _: True).relation.misfit, "it has a default"
    assert tuple_plan(message(ID, OTHER), ITEM, lambda _: True).relation.misfit, "or renamed"
    later = replace(ITEM, known=ITEM.known | {"other"}, order=("id", "name", "other"))
    assert tuple_plan(message(ID, OTHER), later, lambda _: True).relation.misfit, "it was there"


def test_a_column_that_nobody_knows_matters_where_all_are_mapped() -> None:
    """A mapping of every column must be compiled anew before a row with it counts."""
    item = replace(ITEM, order=("id", "name", ""))
    assert not tuple_plan(message(ID, NAME, OTHER), item).relation.misfit
    waiting = replace(item, missing=frozenset({"other"}))
    assert "column other" in tuple_plan(message(ID, NAME, OTHER), waiting).relation.misfit
    assert (
        "column other"
        in tuple_plan(message(ID, NAME, OTHER), replace(item, is_open=True)).relation.misfit
    )


def test_whole_old_rows_that_are_no_longer_sent_are_missed() -> None:
    """A mapping that relies on replica identity full doesn't take rows without it."""
    full = Relation("public", "item", ITEM.columns, ("id",), replica_identity="full")
    assert not tuple_plan(message(ID, NAME, identity="f"), full).relation.misfit
    assert "old rows" in tuple_plan(message(ID, NAME), full).relation.misfit


def test_another_length_of_text_is_the_same_type() -> None:
    """A modifier doesn't change how a value is written."""
    plan = tuple_plan(message(ID, StreamColumn("name", 25, 24, in_key=False)), ITEM)
    assert plan.relation is ITEM


@pytest.mark.parametrize("error", [ValueError("bad"), RejectedError("bad", "bad")])
def test_what_can_not_be_understood_stops(error: Exception) -> None:
    """Going on would leave a change out."""
    with (
        pytest.raises(SourceError, match="a row of t can't be understood: bad"),
        understood("a row of t"),
    ):
        raise error
