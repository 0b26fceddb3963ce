"""Mistakes in embeds that the catalog shows, all at once, with their places."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.events import Column, ColumnType, Generated, Protection
from cdc_daemon.projection.compiler import compile_projections
from tests.generators.by_hand import INT4, TEXT, table

if TYPE_CHECKING:
    from cdc_daemon.events import Relation, Row
    from cdc_daemon.projection.joined.plan import Plan

REAL = ColumnType("float4", declared="real")
MASKED = Protection("masked", "text", "d", bytes)
HOTEL = table("id", "name", Column("chain_id", INT4), Column("rate", REAL), name="hotel")
CHAIN = replace(
    table("id", "name", Column("code", TEXT), Column("parent_id", INT4), name="chain"),
    unique_keys=(("id",), ("code", "name")),
    excluded=("secret",),
)
ROOM = table(
    *("id", "kind"),
    *(Column("hotel_id", INT4), Column("price", ColumnType("numeric", declared="numeric"))),
    *(Column("spot", ColumnType("point", declared="point")), Column("free", ColumnType("bool"))),
    *(Column("pin", TEXT, protection=MASKED), Column("f8", ColumnType("float8"))),
    Column("any_case", TEXT, equal_by_text=False),
    name="room",
)
LINK = table("hotel", "chain", name="link", key=("hotel", "chain"))
LOUD = Column("loud", TEXT, generated=Generated("upper(kind)", ("kind",)))
ROOM = replace(ROOM, computed=(LOUD,))
KEYLESS = table("hotel_id", name="keyless", key=())
VIEW = replace(table("id", "hotel_id", name="view"), kind="view")
PLACE = table(
    Column("at", ColumnType("inet", declared="inet"), nullable=False, in_identity=True),
    *(Column("hotel_id", INT4), Column("price", ColumnType("numeric")), Column("rate", REAL)),
    name="place",
    key=("at",),
)
TABLES = {each.qualified_name: each for each in (HOTEL, CHAIN, ROOM, LINK, KEYLESS, VIEW, PLACE)}
ON = {"hotel_id": "id"}
ROOMS: dict[str, Any] = {"many": "public.room", "on": ON, "fields": ["id"]}
ONE: dict[str, Any] = {"one": "public.chain", "on": {"id": "chain_id"}, "fields": ["name"]}


def locate(*path: str | int) -> str:
    """The depth of a place for its line."""
    return f"shop.yaml:{len(path)}"


def compiled(*others: Relation, **config: Any) -> Plan:
    """The plan of one projection over hotels; `others` stand in for tables of their names."""
    whole = {"from": "public.hotel", "fields": ["id"], **config}
    parsed = ProjectionConfig.model_validate(whole)
    tables = TABLES | {each.qualified_name: each for each in others}
    (plan,) = compile_projections({"hotels": parsed}, tables, locate).plans
    return plan


def mistakes(**config: Any) -> list[str]:
    """What is said of a projection over hotels that is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        compiled(**config)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("embed", "expected"),
    [
        (
            ROOMS | {"fields": ["knd"]},
            ".fields.knd: table public.room has no column knd; did",
        ),
        (ROOMS | {"on": {"hotelid": "id"}}, ".on: table public.room has no column hotelid"),
        (ROOMS | {"on": {"hotel_id": "idd"}}, ".on: table public.hotel has no column idd"),
        (ROOMS | {"where": "nope"}, ".where: public.room has no column nope"),
        (ROOMS | {"where": "random() > 1"}, ".where: "),
        (ROOMS | {"where": "price"}, ".where: a condition must be of type boolean"),
        (
            ROOMS | {"order_by": "prise"},
            ".order_by: table public.room has no column prise; ",
        ),
        (
            ROOMS | {"order_by": "price dsc"},
            ".order_by: syntax error at 'dsc': expected asc",
        ),
        (
            ROOMS | {"order_by": "lower(kind)"},
            ".order_by: syntax error at '(': rows are put",
        ),
        (ROOMS | {"order_by": "chain.name"}, ".order_by: syntax error at '.': rows are put"),
        (
            ROOMS | {"order_by": "spot"},
            ".order_by: rows can't be put in order by public.room.",
        ),
        (
            ROOMS | {"order_by": "pin"},
            ".order_by: rows can't be put in order by public.room.",
        ),
        (
            ROOMS | {"order_by": "loud"},
            ".order_by: column loud of table public.room is generated, and the source does not",
        ),
        (
            ROOMS | {"on": {"loud": "name"}},
            ".on: column loud of table public.room is generated, and the source does not stream",
        ),
        (
            ROOMS | {"on": {"kind": "id"}},
            ".on: public.room.kind (text) and public.hotel.id ",
        ),
        (
            ROOMS | {"on": {"any_case": "name"}},
            ".on: public.room.any_case: its collation is nondeterministic, so which of its values",
        ),
        (
            ROOMS | {"on": {"f8": "rate"}},
            ".on: public.room.f8 (float8) and public.hotel.rate",
        ),
        (
            ROOMS | {"on": {"spot": "id"}},
            ".on: public.room.spot: a column of type point can't",
        ),
        (
            ROOMS | {"on": {"pin": "name"}},
            ".on: public.room.pin: it is masked by the `source`",
        ),
        (
            ROOMS | {"many": "public.keyless"},
            ".many: table public.keyless has no primary key",
        ),
        (
            ROOMS | {"many": "public.view"},
            ".many: public.view is a view: its changes are not",
        ),
        (
            ROOMS | {"depth": 2},
            ".depth: an embed repeats itself where a table refers to itself",
        ),
        (
            {"sum": "public.room", "on": ON, "value": "kind"},
            ".value: sum needs numbers, not text",
        ),
        (
            {"bool_or": "public.room", "on": ON, "value": "price"},
            ".value: bool_or needs a boolean, not numeric",
        ),
        (
            {"max": "public.room", "on": ON, "value": "spot"},
            ".value: max needs values in an order; that of point is not known here",
        ),
        (
            {"many": "public.room", "on": ON, "value": "spot", "distinct": True},
            ".value: distinct needs values that can be told apart: a column of type point",
        ),
        (
            {"one": "public.room", "on": ON, "fields": ["id"]},
            ".one: several rows of public.room may have the same hotel_id: take many or first",
        ),
        (
            {"one": "public.chain", "on": {"code": "name"}, "fields": ["id"]},
            ".one: several rows of public.chain may have the same code: take many or first",
        ),
        (
            {
                "one": "public.chain",
                "through": {
                    "table": "public.link",
                    "on": {"hotel": "id"},
                    "to": {"id": "chain"},
                },
                "value": "name",
            },
            ".one: several rows of public.link may have the same hotel: take many or first",
        ),
        (
            {"one": "public.chain", "on": {"id": "chain_id"}, "fields": ["secret"]},
            ".fields.secret: column secret of table public.chain is excluded by the `source`",
        ),
        (
            {"one": "public.chain", "on": {"id": "chain_id"}},
            ": it shows nothing, and no expression reads it: give it `fields`, or take it out",
        ),
        (
            {
                "many": "public.chain",
                "value": "name",
                "through": [{"table": "public.link", "on": {"hotl": "id"}, "to": {"id": "chain"}}],
            },
            ".through[0].on: table public.link has no column hotl; did you mean hotel?",
        ),
        (
            {
                "many": "public.chain",
                "value": "name",
                "through": {
                    "table": "public.keyless",
                    "on": {"hotel_id": "id"},
                    "to": {"id": "hotel_id"},
                    "where": "hotel_id > 'x'",
                },
            },
            ".through.table: table public.keyless has no primary key",
        ),
    ],
)
def test_each_mistake_is_explained(embed: dict[str, Any], expected: str) -> None:
    """At its place."""
    said = mistakes(embed={"rooms": embed})
    assert any(f": projections.hotels.embed.rooms{expected}" in line for line in said), said


def test_all_mistakes_come_at_once() -> None:
    """Of every level, also of one within another, each once although an embed repeats itself."""
    children = {"many": "public.chain", "on": {"parent_id": "id"}, "fields": ["nam"], "depth": 3}
    said = mistakes(
        fields=["nme"],
        where="chain.nme = 'x'",
        embed={"chain": ONE | {"embed": {"children": children}}, "rooms": ROOMS | {"where": "x"}},
    )
    places = [line.split(": ")[1] for line in said]
    assert sorted(places) == [
        "projections.hotels.embed.chain.embed.children.fields.nam",
        "projections.hotels.embed.rooms.where",
        "projections.hotels.fields.nme",
        "projections.hotels.where",
    ]


def test_all_columns_clash_with_an_embed_of_their_name() -> None:
    """That is known only when the table is."""
    (said,) = mistakes(fields="*", embed={"name": ROOMS})
    assert '"name" is both a field and an embed: rename one, or list the fields' in said


def test_a_root_without_a_key_is_refused() -> None:
    """Its rows are kept, too."""
    rooms = {"count": "public.room", "on": {"hotel_id": "hotel_id"}}
    said = mistakes(
        **{
            "from": "public.keyless",
            "fields": ["hotel_id"],
            "id": ["hotel_id"],
            "embed": {"rooms": rooms},
        }
    )
    assert any("no primary key, by which its rows could be kept" in line for line in said)


def test_order_is_asked_for_where_it_shows() -> None:
    """Rows of a table whose key has no order here are counted and summed, but not listed."""

    def embed(kind: str, value: str) -> dict[str, Any]:
        return {"places": {kind: "public.place", "on": ON, "value": value}}

    assert compiled(embed=embed("sum", "price")).root.embeds[0].order == ()
    assert compiled(embed=embed("count", "at")).root.embeds[0].order == ()
    for kind, value in (("many", "price"), ("max", "price"), ("avg", "rate")):
        (said,) = mistakes(embed=embed(kind, value))
        assert "rows can't be put in order by public.place.at: the order of type inet" in said


def test_routing_needs_a_value() -> None:
    """A column that may be NULL says no shard; one that isn't there is a mistake, too."""
    (said,) = mistakes(routing="chain_id")
    assert "projections.hotels.routing: column chain_id may be NULL, and then says no shard" in said
    assert "has no column chainid" in mistakes(routing="chainid")[0]
    plan = compiled(routing="id", id="hotel-{id}")
    assert plan.routing_of is not None
    assert plan.routing_of([b"7"]) == b'"7"'
    assert plan.id_of([b"7"]) == b'"hotel-7"'


def test_endless_repetition_is_refused() -> None:
    """Embeds that repeat themselves within each other make too many levels."""
    inner = {"many": "public.chain", "on": {"parent_id": "id"}, "fields": ["id"], "depth": 10}
    twice = inner | {"embed": {"other": inner | {"embed": {"third": inner}}}}
    said = mistakes(embed={"chain": ONE | {"embed": {"children": twice}}})
    assert any("more than 500 embeds in one projection: lower depth" in line for line in said)


def test_an_embed_of_its_own_name_can_not_repeat_itself() -> None:
    """The name is taken by what it embeds."""
    children = {"many": "public.chain", "on": {"parent_id": "id"}, "fields": ["id"], "depth": 2}
    own = children | {"embed": {"children": children}}
    said = mistakes(embed={"chain": ONE | {"embed": {"children": own}}})
    assert any("children is embedded in itself already" in line for line in said)


def test_a_condition_reads_columns_of_one_embeds() -> None:
    """All of them, to any depth; the plan borrows what is read, and nothing else."""
    chain = ONE | {"embed": {"parent": {"one": "public.chain", "on": {"id": "parent_id"}}}}
    plan = compiled(where="chain.parent.code = 'x' and chain.name <> name", embed={"chain": chain})
    assert [each.name for each in plan.root.borrowed] == ["chain.name", "chain.parent.code"]
    (one,) = plan.root.embeds
    assert [each.name for each in one.level.borrowed] == ["parent.code"]
    names = {each.qualified_name: [c.name for c in each.columns] for each in plan.relations}
    assert names == {
        "public.hotel": ["id", "name", "chain_id"],
        "public.chain": ["id", "name", "code", "parent_id"],
    }


def test_a_column_with_a_dot_in_its_name_is_its_own() -> None:
    """What looks like a column of an embed isn't, where the table has it."""
    hotel = table("id", "chain.name", Column("chain_id", INT4), name="hotel")
    config = {"from": "public.hotel", "fields": ["id"], "where": "\"chain.name\" = 'x'"}
    parsed = ProjectionConfig.model_validate(config | {"embed": {"chain": ONE}})
    tables = TABLES | {"public.hotel": hotel}
    (plan,) = compile_projections({"hotels": parsed}, tables, locate).plans
    assert plan.root.borrowed == ()
    assert [c.name for c in plan.root.relation.columns] == ["id", "chain.name", "chain_id"]


def test_flat_and_joined_projections_share_their_tables() -> None:
    """The stream has each row once, with the columns that any of them reads."""
    flat = {"from": "public.room", "fields": ["kind"]}
    joined = {"from": "hotel", "fields": ["name"], "embed": {"rooms": ROOMS}}
    configs = {"rooms": flat, "hotels": joined}
    parsed = {name: ProjectionConfig.model_validate(one) for name, one in configs.items()}
    both = compile_projections(parsed, TABLES | {"hotel": HOTEL}, locate)
    (rooms,), (plan,) = both.projections, both.plans
    assert plan.root.embeds[0].level.relation is rooms.relation
    assert plan.root.embeds[0].steps[0].relation is rooms.relation
    assert [column.name for column in rooms.relation.columns] == ["id", "kind", "hotel_id"]
    assert set(both.relations) == {rooms.relation, plan.root.relation}


def test_the_read_model_has_the_fields_of_its_embeds() -> None:
    """Objects within objects, and the type that an aggregate results in."""
    rooms = ROOMS | {
        "nested": True,
        "embed": {"same": {"count": "public.room", "on": {"kind": "kind"}}},
    }
    total = {"sum": "public.room", "on": ON, "value": {"column": "id", "type": "double"}}
    plan = compiled(embed={"rooms": rooms, "total": total})
    _, rooms_field, total_field = plan.model.fields
    assert rooms_field.nested
    assert [child.name for child in rooms_field.children] == ["id", "same"]
    assert total_field.type is not None
    assert (total_field.type.name, total_field.overrides) == ("int8", {"type": "double"})


@pytest.mark.parametrize(
    "change",
    [
        {"where": "kind = 'x'"},
        {"order_by": "kind"},
        {"limit": 3},
        {"distinct": True},
        {"nested": True},
        {"on": {"price": "id"}},
        {"fields": ["id", "kind"]},
        {"embed": {"n": {"count": "public.room", "on": {"id": "id"}}}},
    ],
)
def test_the_fingerprint_covers_every_part(change: dict[str, Any]) -> None:
    """Another plan is another read model; the same one written anew is the same."""
    before = compiled(embed={"rooms": ROOMS}).model.fingerprint
    assert compiled(embed={"rooms": dict(reversed(ROOMS.items()))}).model.fingerprint == before
    assert compiled(embed={"rooms": ROOMS | change}).model.fingerprint != before


def test_generated_columns_that_are_not_streamed_are_computed() -> None:
    """In fields, values and conditions of an embed; another generation is another read model."""
    embed = {"rooms": ROOMS | {"fields": ["loud"], "where": "loud > 'S'"}}
    embed["names"] = {"many": "public.room", "on": ON, "value": "loud"}
    plan = compiled(embed=embed)
    rooms, names = plan.root.embeds
    assert {column.name for column in rooms.level.relation.columns} == {"id", "kind", "hotel_id"}
    row: Row = [b"1", b'"suite"', b"7"]
    assert rooms.level.where is not None
    assert rooms.level.where.evaluate(row) == b"true"
    for field in (*rooms.level.fields, names.value):
        assert field is not None
        assert field.part.evaluate is not None
        assert field.part.evaluate(row) == b'"SUITE"'
    lower = replace(ROOM, computed=(replace(LOUD, generated=Generated("lower(kind)", ("kind",))),))
    assert compiled(lower, embed=embed).model.fingerprint != plan.model.fingerprint


def test_a_generated_column_that_nothing_shows_is_no_matter() -> None:
    """Though all that it is made of is read: it may come, change and go."""
    embed = {"rooms": ROOMS | {"fields": ["kind"]}}
    plan = compiled(embed=embed)
    without = compiled(replace(ROOM, computed=()), embed=embed)
    assert plan.model.fingerprint == without.model.fingerprint
    assert plan.root.embeds[0].level.relation.computed == ()


def test_flat_projections_keep_their_fingerprint() -> None:
    """What was loaded by an earlier version is not loaded anew."""
    config = ProjectionConfig.model_validate({"from": "public.hotel", "fields": "*"})
    relation = table("id", "name", "city")
    (flat,) = compile_projections({"h": config}, {"public.hotel": relation}, locate).projections
    assert flat.model.fingerprint == "1859963d0df99413"
