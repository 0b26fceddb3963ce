"""What of a state is gone on with, where rules protect columns, or others read more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.assembly import wanted
from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.events import Column
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.state.schema import Schema, Wanted, fitted
from connectors.postgres.columnrules import ColumnRule
from connectors.postgres.protection import Protector
from tests.generators.by_hand import INT4
from tests.generators.joined_store import CHAIN, TABLES
from tests.generators.states import HOTEL

if TYPE_CHECKING:
    from cdc_daemon.events import Relation
    from cdc_daemon.projection.compiler import Compiled

Rule = dict[str, Any]

FIRST, SECOND = "the first salt of two", "the second salt of two"
SALTED: Rule = {"match": "hotel.name", "hash": {"salt": FIRST}}
SHORT: Rule = {"match": "hotel.name", "truncate": 4}
MASKED: Rule = {"match": "hotel.name", "mask": "***"}
OTHERS: list[tuple[list[Rule], list[Rule]]] = [
    ([], [SALTED]),
    ([], [SHORT]),
    ([SALTED], []),
    ([SALTED], [SALTED | {"hash": {"salt": SECOND}}]),
    ([SALTED], [SALTED | {"hash": {"salt": FIRST, "algorithm": "sha512"}}]),
    ([SHORT], [SHORT | {"truncate": 5}]),
    ([MASKED], [MASKED | {"mask": "+++"}]),
    ([MASKED], [SALTED]),
    ([], [{"match": "hotel.name", "exclude": True}]),
]


def protected(rules: list[Rule]) -> Relation:
    """The table as it leaves a source with these rules."""
    (found,) = Protector([ColumnRule.model_validate(rule) for rule in rules]).protect([HOTEL])
    return found


def loaded(*relations: Relation) -> Schema:
    """A state that has all rows."""
    schema = fitted(Schema(), Wanted(relations))
    for name in schema.to_load:
        schema = schema.loaded(name)
    return Schema.from_json(schema.to_json())


@pytest.mark.parametrize(("before", "after"), OTHERS, ids=str)
def test_another_rule_loads_its_table_anew(before: list[Rule], after: list[Rule]) -> None:
    """Its rows are kept as the rule of then has made them, and none of them counts any more."""
    kept = loaded(protected(before))
    schema = fitted(kept, Wanted((protected(after),)))
    assert schema.to_load == ["public.hotel"]
    assert schema.dropped == (f"holes {kept.next - 1}", f"table {kept.next - 1}")


@pytest.mark.parametrize("rules", [[], [SALTED], [SHORT], [MASKED]], ids=str)
def test_the_same_rules_go_on(rules: list[Rule]) -> None:
    """A restart reads nothing again, and neither does a rule for a column that isn't kept."""
    kept = loaded(protected(rules))
    also = [*rules, {"match": "*.password", "exclude": True}]
    assert fitted(kept, Wanted((protected(also),))) == kept


def test_a_column_that_is_not_read_any_longer_needs_no_rows() -> None:
    """It loses its name only, also where it was protected."""
    kept = loaded(protected([SALTED]))
    fewer = replace(HOTEL, columns=tuple(one for one in HOTEL.columns if one.name != "name"))
    schema = fitted(kept, Wanted((fewer,)))
    assert (schema.to_load, schema.dropped) == ([], ())


def test_what_flat_read_models_show_is_no_matter_to_the_state() -> None:
    """Of joined ones it keeps their columns: a flat one beside them reads others of its own."""
    joined: dict[str, Any] = {"fields": ["id", "name"], "embed": {"chain": CHAIN}}
    kept = fitted(Schema(), wanted(compiled(TABLES, joined=joined).plans))
    for name in kept.to_load:
        kept = kept.loaded(name)
    names = [name for name, _ in kept.tables["public.hotel"].columns]
    assert names == ["id", "name", "chain_id"]
    hotel = TABLES["public.hotel"]
    extended = replace(hotel, columns=(*hotel.columns, Column("stars", INT4)))
    for tables in (TABLES, {**TABLES, "public.hotel": extended}):
        beside = compiled(tables, joined=joined, flat={"fields": "*"})
        schema = fitted(kept, wanted(beside.plans))
        assert (schema.to_load, schema) == ([], kept)
        (plan,) = beside.plans
        assert len(plan.relation.columns) > len(names), "the stream brings more"


def compiled(tables: dict[str, Relation], **mappings: dict[str, Any]) -> Compiled:
    """Read models over hotels."""
    configs = {
        name: ProjectionConfig.model_validate({"from": "public.hotel", **one})
        for name, one in mappings.items()
    }
    return compile_projections(configs, tables, lambda *_: "")
