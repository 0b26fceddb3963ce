"""Embeds as the file writes them: each mistake that needs no database, with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.config import ProjectionConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.config import LoadedConfiguration

    Load = Callable[..., LoadedConfiguration]
    Mistakes = Callable[..., list[str]]

ON = "on: {hotel_id: id}"
ROOMS = f"many: room, {ON}, fields: [id]"


@pytest.mark.parametrize(
    ("embed", "expected"),
    [
        ("{on: {a: b}}", "9: {at}: expected one of one, many, count, sum, avg, min, max, "),
        ("{one: a, many: b, on: {a: b}}", "9: {at}: one and many exclude each other: keep one"),
        ("{many: room, fields: [id]}", "9: {at}: expected either `on` or `through`"),
        (f"{{{ROOMS}, through: {{table: a, on: {{a: b}}}}}}", "9: {at}: expected either `on` or"),
        (f"{{many: room, {ON}}}", "9: {at}: many needs `fields` or a `value`"),
        (f"{{first: room, {ON}}}", "9: {at}: first needs `fields` or a `value`"),
        (f"{{{ROOMS}, value: id}}", "9: {at}: fields and value exclude each other: keep one"),
        (f"{{sum: room, {ON}}}", "9: {at}: sum needs a `value`"),
        (f"{{sum: room, {ON}, value: a, fields: [a]}}", "9: {at}: `fields` goes with one, many, "),
        (f"{{one: room, {ON}, order_by: a}}", "9: {at}: `order_by` goes with many, first, last, "),
        (f"{{first: room, {ON}, value: a, limit: 2}}", "9: {at}: `limit` goes with many, not with"),
        (f"{{max: room, {ON}, value: a, distinct: true}}", "9: {at}: `distinct` goes with many, "),
        (f"{{count: room, {ON}, nested: true}}", "9: {at}: `nested` goes with one, many, "),
        (f"{{many: room, {ON}, value: a, nested: true}}", "9: {at}: `nested` is for objects"),
        (f"{{many: room, {ON}, value: a, depth: 2}}", "9: {at}: `depth` is for objects"),
        (f"{{{ROOMS}, depth: 11}}", "9: {at}.depth: expected a number up to 10; found 11"),
        (f"{{{ROOMS}, limit: 0}}", "9: {at}.limit: expected a number from 1 on; found 0"),
        (f"{{{ROOMS}, ordr_by: id}}", '9: {at}.ordr_by: unknown key; did you mean "order_by"?'),
        (f"{{many: room, {ON}, value: {{constant: 1}}}}", "9: {at}.value: expected a column, or"),
        (f"{{many: room, {ON}, value: {{type: text}}}}", "9: {at}.value: expected a column, or"),
        (f"{{many: room, {ON}, fields: [a, a]}}", "9: {at}.fields: a is listed twice"),
        ("{many: a.b.c, on: {a: b}, value: a}", "9: {at}.many: expected a table such as public."),
        ("{many: room, on: {}, value: a}", "9: {at}.on: expected at least one entry; found no"),
        (f"{{{ROOMS}, embed: {{}}}}", "9: {at}.embed: expected at least one entry; found no keys"),
        (
            f"{{{ROOMS}, embed: {{beds: {{count: bed, on: {{room: id}}, fields: [a]}}}}}}",
            "9: {at}.embed.beds: `fields` goes with one, many, first, last, not with count",
        ),
        (
            f"{{{ROOMS}, embed: {{id: {{count: bed, on: {{room: id}}}}}}}}",
            '9: {at}: "id" is both a field and an embed: rename one',
        ),
        (
            f"{{many: room, {ON}, value: a, embed: {{beds: {{count: bed, on: {{room: id}}}}}}}}",
            "9: {at}: embed beds can't be shown here, where no object is",
        ),
        (
            "{many: a, value: b, through: {table: j, on: {x: y}}}",
            "9: {at}: expected `to` in the last junction",
        ),
        (
            "{many: a, value: b, through: [{table: j, on: {x: y}, to: {x: y}}, *last]}",
            "9: {at}: `to` belongs into the last junction",
        ),
        (
            "{many: a, value: b, through: {table: j, onn: {x: y}, on: {x: y}, to: {x: y}}}",
            '9: {at}.through.onn: unknown key; did you mean "on"?',
        ),
        (
            "{many: a, value: b, through: [{tabel: j, table: j, on: {x: y}, to: {x: y}}]}",
            '9: {at}.through[0].tabel: unknown key; did you mean "table"?',
        ),
        ("{many: a, value: b, through: []}", "9: {at}.through: expected at least one entry"),
    ],
)
def test_a_mistake_in_an_embed_is_explained(
    mistakes: Mistakes, minimal: str, embed: str, expected: str
) -> None:
    """Each is the only one reported, at its place and in its own words."""
    written = embed.replace("*last", "{table: k, on: {x: y}, to: {x: y}}")
    (only,) = mistakes(f"{minimal}    embed:\n      rooms: {written}\n")
    assert only.startswith(expected.replace("{at}", "projections.hotels.embed.rooms"))


@pytest.mark.parametrize(
    ("fields", "embed", "expected"),
    [
        (["rooms"], "rooms", '"rooms" is both a field and an embed: rename one'),
        (["rooms.count"], "rooms", 'field "rooms.count" can\'t be within field "rooms", a value'),
        (["rooms"], "rooms.all", 'field "rooms.all" can\'t be within field "rooms", a value'),
    ],
)
def test_names_that_clash_are_refused(fields: list[str], embed: str, expected: str) -> None:
    """A field and an embed can't be in each other's place."""
    embeds = {embed: {"count": "room", "on": {"hotel_id": "id"}}}
    with pytest.raises(ValueError, match="hotel") as caught:
        ProjectionConfig.model_validate({"from": "hotel", "fields": fields, "embed": embeds})
    assert expected in str(caught.value)


@pytest.mark.parametrize("key", ["routing: city", "embed: {rooms: {count: room, on: {a: b}}}"])
def test_missing_columns_are_for_flat_projections(
    mistakes: Mistakes, minimal: str, key: str
) -> None:
    """A column that is kept of rows must be there."""
    (only,) = mistakes(f"{minimal}    missing_columns: null\n    {key}\n")
    assert only == (
        "5: projections.hotels: `missing_columns: null` can't be had with `embed` or `routing`: "
        "take it out, and name columns that are there"
    )


def test_a_hidden_one_may_have_the_name_of_a_field(load_text: Load, minimal: str) -> None:
    """It isn't in the document; a `one` of which only an embed is shown is."""
    text = minimal.replace('"*"', "{chain: {expression: chain.name}}")
    text += "    embed: {chain: {one: chain, on: {id: chain_id}}}\n"
    embed = load_text(text).configuration.projections["hotels"].embed["chain"]
    assert not embed.is_shown
    within = "{one: chain, on: {id: c}, embed: {hotels: {count: hotel, on: {c: id}}}}"
    text = minimal + f"    embed: {{chain: {within}}}\n"
    config = load_text(text).configuration.projections["hotels"]
    assert config.embed["chain"].is_shown
    assert config.tables == ["public.hotel", "chain", "hotel"]
