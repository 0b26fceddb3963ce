"""Rows of the log become rows of a relation, unless its table was, or is by now, another one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_daemon.events import Column, ColumnType, Relation
from connectors.relay.decoding import RowPlan
from connectors.relay.layouts import row_plan
from connectors.relay.log import LogHead, layout_of, protected_columns
from connectors.relay.tables import reasons

TEXT = ColumnType("text", oid=25, declared="text")
INT = ColumnType("int4", oid=23, declared="integer")


def table(*columns: Column, **more: object) -> Relation:
    """A table of these columns, and no others."""
    names = tuple(column.name for column in columns)
    made = Relation("public", "item", columns, known=frozenset(names), order=names)
    return replace(made, **more)  # type: ignore[arg-type]  # fields of it


ID, NOTE, SIZE = Column("id", INT, in_identity=True), Column("note", TEXT), Column("size", INT)


def test_columns_are_taken_by_their_names() -> None:
    """Those that are mapped."""
    relayed = table(ID, NOTE, SIZE)
    mapped = replace(relayed, columns=(ID, SIZE))
    assert row_plan(layout_of(relayed), mapped, mapped.order) == RowPlan(mapped, (0, 2))


def test_a_column_that_came_later_is_null() -> None:
    """In rows from before it was added."""
    now = table(ID, NOTE, SIZE)
    assert row_plan(layout_of(table(ID, NOTE)), now, now.order) == RowPlan(now, (0, 1), 1)


def test_what_a_rule_leaves_out_is_as_if_it_had_been_dropped() -> None:
    """The relay has the same rule."""
    relayed = table(ID, SIZE, known=frozenset({"id", "note", "size"}), order=("id", "note", "size"))
    relayed = replace(relayed, excluded=("note",))
    assert row_plan(layout_of(relayed), relayed, relayed.order) == RowPlan(relayed, (0, 1))


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (table(ID, replace(NOTE, name="remark"), SIZE), "the stream has no column note|remark"),
        (table(ID, replace(NOTE, type=INT), SIZE), "its column note has another type than text"),
        (table(replace(ID, in_identity=False), NOTE, SIZE), "old rows come without id"),
        (table(misfit="a type is gone"), "a type is gone"),
    ],
)
def test_another_shape_is_a_misfit(before: Relation, why: str) -> None:
    """Whatever made it another one: the rows of the table are read instead."""
    now = table(ID, NOTE, SIZE)
    plan = row_plan(layout_of(before), now, now.order)
    assert plan.relation.stands_for is now
    assert plan.places == ()
    assert any(part in plan.relation.misfit for part in why.split("|"))


def test_a_table_that_the_relay_lacks_is_refused() -> None:
    """With the nearest one that it has."""
    head = LogHead("1/1", {"public.items": "x"})
    (why,) = reasons(head, [table(ID)])
    assert "the log doesn't have table public.item (did you mean public.items?)" in why


def test_other_rules_than_the_relays_are_refused() -> None:
    """A column that it leaves out is one that we must leave out."""
    relayed = replace(table(ID, SIZE), excluded=("note",))
    head = LogHead("1/1", {"public.item": "x"}, {"public.item": protected_columns(relayed)})
    assert list(reasons(head, [relayed])) == []
    (why,) = reasons(head, [table(ID, NOTE, SIZE)])
    assert "the rules of source.columns for note aren't those of the relay" in why
