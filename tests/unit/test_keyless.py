"""Which tables must send whole rows, because nobody could read a row of them by its key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.events import Column, Protection
from cdc_daemon.keyless import keyless
from cdc_daemon.projection.compiler import compile_projections
from tests.generators.by_hand import INT4, table

if TYPE_CHECKING:
    from cdc_daemon.events import Relation
    from cdc_daemon.keyless import Keyless

ALL: dict[str, Any] = {"from": "public.person", "fields": "*"}
PLAIN = replace(
    table("id", "note", "body", Column("ref", INT4), name="person"), unique_keys=(("id",),)
)
NOTES = table("nr", Column("person_id", INT4), "text", name="note", key=("nr",))


def hashed(relation: Relation, name: str = "id") -> Relation:
    """The same, one column of it protected."""
    how = Protection("hashed", "integer", "digest", lambda raw: raw)
    columns = tuple(
        replace(one, protection=how) if one.name == name else one for one in relation.columns
    )
    return replace(relation, columns=columns)


def found(person: Relation, **mapping: Any) -> list[Keyless]:
    """What is told of a projection over them."""
    configs = {"people": ProjectionConfig.model_validate({**ALL, **mapping})}
    tables = {"public.person": person, "public.note": replace(NOTES, unique_keys=(("nr",),))}
    return list(keyless(compile_projections(configs, tables, lambda *_: "here")))


def test_a_protected_key_is_told_with_what_mends_it() -> None:
    """The table, the values, the statement."""
    (one,) = found(hashed(PLAIN))
    assert one.table == "public.person"
    assert "of note, body leaves it out" in one.why
    assert one.sql == "alter table public.person replica identity full"


@pytest.mark.parametrize(
    ("person", "mapping"),
    [
        (PLAIN, {}),
        (hashed(PLAIN, "body"), {}),
        (replace(hashed(PLAIN), replica_identity="full"), {}),
        (replace(hashed(PLAIN), has_rows=False), {}),
        (hashed(PLAIN), {"fields": ["id"]}),
    ],
    ids=["no rule", "not the key", "whole rows", "only messages", "nothing large"],
)
def test_who_can_be_read_or_needs_no_reading_is_not_told(
    person: Relation, mapping: dict[str, Any]
) -> None:
    """Nobody is to send whole rows for nothing."""
    assert found(person, **mapping) == []


def test_a_joined_read_model_reads_by_the_key_of_each_table() -> None:
    """Of the table whose key is protected, not of the others."""
    notes = {"many": "public.note", "on": {"person_id": "ref"}, "fields": ["nr", "text"]}
    joined: dict[str, Any] = {"fields": ["id", "note"], "embed": {"notes": notes}}
    assert found(PLAIN, **joined) == []
    (one,) = found(hashed(PLAIN), **joined)
    assert one.table == "public.person"
    assert "of note leaves it out" in one.why
