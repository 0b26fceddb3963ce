"""What a start goes on with, and what it makes anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.errors import SchemaChangedError
from cdc_daemon.events import (
    NOWHERE,
    Checkpoint,
    Chunk,
    ColumnShape,
    Coverage,
    Load,
    Position,
    Shape,
)
from cdc_daemon.generations import create, publish
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.resuming import Found, Resumption, being_filled, loads_of, resume
from tests.generators.by_hand import projection
from tests.generators.joined_store import ROOMS as JOINED_ROOMS
from tests.generators.joined_store import TABLES, plans
from tests.generators.memory_sink import MemorySink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.projection.flat import FlatProjection

HOTELS, ROOMS = projection("hotels"), projection("rooms")
MEMBERS = {"public.hotels": "1/2", "public.rooms": "1/3"}
PART = Chunk("hotels", 1, 1, (5, 0), (9, 0))


def show(position: Position) -> str:
    """As people know it."""
    return f"@{position}"


class Bench(NamedTuple):
    """A sink with two loaded generations, and what a start finds."""

    sink: MemorySink
    found: Found

    def resume(
        self, projections: Sequence[FlatProjection] = (HOTELS, ROOMS), **changed: Any
    ) -> Resumption:
        """What a start does, if a part of what is found were another."""
        return resume("pipe", replace(self.found, **changed), projections, self.sink, show)

    def checkpoint(self, **changed: Any) -> Checkpoint:
        """The checkpoint, with changes."""
        assert self.found.checkpoint is not None
        return replace(self.found.checkpoint, **changed)


@pytest.fixture
def bench() -> Bench:
    """All is well."""
    sink = MemorySink()
    generations = create([HOTELS.model, ROOMS.model], sink)
    checkpoint = Checkpoint(
        "pipe", Position(100), "system/1", generations, memberships=dict(MEMBERS)
    )
    found = Found(checkpoint, Position(100), "system/1", Position(120), MEMBERS)
    return Bench(sink, found)


def test_a_pipeline_goes_on_where_it_was(bench: Bench) -> None:
    """Nothing is made anew when all is there; a source that is behind the checkpoint is fine."""
    for place in (100, 40):
        found = bench.resume(place=Position(place))
        assert not found.anew
        assert not found.new_place
        assert found.checkpoint == bench.checkpoint()


def test_every_reason_to_load_everything_is_said(bench: Bench) -> None:
    """Each in its own words, so that nobody has to guess why a load of hours begins."""
    found = {
        "first start": bench.resume(checkpoint=None, place=None),
        "checkpoint was lost": bench.resume(checkpoint=None),
        "another one: other/1, it was system/1": bench.resume(
            source_id="other/1", shared=Position(0)
        ),
        "slot was dropped or lost": bench.resume(place=None),
        "gone back to @90: it was at @100": bench.resume(shared=Position(90), place=Position(80)),
        "gone on to @101, the checkpoint says @100": bench.resume(place=Position(101)),
    }
    for words, resumption in found.items():
        assert resumption.new_place, words
        assert set(resumption.anew) == {"hotels", "rooms"}
        assert words in resumption.anew["rooms"]
        assert resumption.checkpoint.generations == {}
        assert resumption.lost == (resumption.claim.generations != {})


@pytest.mark.parametrize(
    ("written", "shared", "words"),
    [
        (110, 110, None),
        (110, 109, "documents show changes up to @110"),
        (100, 95, "documents show changes up to @100"),
        (None, 1000, "did not end in order"),
    ],
    ids=["nothing lost", "a document lost", "the checkpoint lost", "nobody knows"],
)
def test_a_failover_is_gone_on_with_where_it_has_lost_nothing_written(
    bench: Bench, written: int | None, shared: int, words: str | None
) -> None:
    """What no document shows may be lost; where nobody knows, everything is loaded anew."""
    known = None if written is None else Position(written)
    found = bench.resume(
        checkpoint=bench.checkpoint(written=known),
        source_id="system/2",
        shared=Position(shared),
        place=Position(90),
    )
    assert found.lost == found.new_place == (words is not None)
    if words is not None:
        assert words in found.anew["rooms"]
        assert f"beyond @{shared} (system/2, it was system/1)" in found.anew["rooms"]
    else:
        assert found.claim == bench.checkpoint(written=known, source_id="system/2")
        assert found.checkpoint == found.claim
        assert found.written == written


def test_a_failover_gives_positions_that_no_commit_had_to_others(bench: Bench) -> None:
    """An idle stream had passed the place where the timeline was left: it goes back to there."""
    repair = Load("public.hotels", ("hotels",), (PART,), since=Position(98))
    found = bench.resume(
        checkpoint=bench.checkpoint(written=Position(60), loads=(repair,)),
        source_id="system/2",
        shared=Position(95),
        place=Position(95),
    )
    assert not found.anew
    assert found.checkpoint.position == 95
    assert found.checkpoint.loads == (replace(repair, since=Position(95)),)
    ahead = bench.resume(
        checkpoint=bench.checkpoint(written=Position(60)),
        source_id="system/2",
        shared=Position(95),
        place=Position(96),
    )
    assert ahead.lost


def test_what_rows_may_not_show_is_known_in_the_same_history_only(bench: Bench) -> None:
    """In another one whoever waited for a standby is visible, and its number may be another's."""
    kept = bench.checkpoint(unseen=(7, 9), written=Position(60))
    assert bench.resume(checkpoint=kept).checkpoint.unseen == (7, 9)
    elsewhere = bench.resume(
        checkpoint=kept, source_id="system/2", shared=Position(110), place=Position(90)
    )
    assert not elsewhere.lost
    assert elsewhere.checkpoint.unseen == ()


def test_what_a_daemon_wrote_that_was_killed_is_bounded_by_its_source(bench: Bench) -> None:
    """It had read it from there; a daemon that ended in order has said it."""
    assert bench.resume().written == 120
    assert bench.resume(checkpoint=bench.checkpoint(written=Position(103))).written == 103
    gone_back = bench.resume(checkpoint=bench.checkpoint(written=Position(121)))
    assert "gone back to @120: it was at @121" in gone_back.anew["rooms"]


def test_without_a_checkpoint_what_is_searched_is_replaced(bench: Bench) -> None:
    """So that no start empties it which loads nothing; what was made and never shown isn't."""
    generations = bench.checkpoint().generations
    cut_short = bench.checkpoint(position=NOWHERE)
    assert not bench.resume(checkpoint=None).replaced
    assert not bench.resume(checkpoint=cut_short).replaced
    publish(bench.sink, generations["rooms"])
    assert bench.resume(checkpoint=None).replaced == {"rooms"}
    assert bench.resume(checkpoint=cut_short).replaced == {"rooms"}


def test_a_start_that_was_cut_short_is_a_first_start(bench: Bench) -> None:
    """Before it had a place in the source, nothing can have been lost."""
    cut = bench.resume(checkpoint=bench.checkpoint(position=Position(0)), place=None)
    assert "first start" in cut.anew["rooms"]
    assert not cut.lost
    assert not cut.replaced
    assert {each.projection for each in cut.left_over} == {"hotels", "rooms"}


def test_only_what_has_changed_is_made_anew(bench: Bench) -> None:
    """Another fingerprint, another index of the name, a new projection: the others go on."""
    generations = bench.checkpoint().generations
    other = {**generations, "hotels": replace(generations["hotels"], fingerprint="other")}
    found = bench.resume(checkpoint=bench.checkpoint(generations=other))
    assert set(found.anew) == {"hotels"}
    assert "mapping" in found.anew["hotels"]
    assert found.checkpoint.generations == {"rooms": generations["rooms"]}
    assert not found.new_place
    found = bench.resume([HOTELS, ROOMS, projection("chains")])
    assert found.anew == {"chains": "it is new"}
    bench.sink.index(generations["rooms"].index).uuid = "another"
    found = bench.resume()
    assert set(found.anew) == {"rooms"}
    assert generations["rooms"].index in found.anew["rooms"]


def test_a_table_that_was_not_in_the_stream_all_the_time_is_loaded_anew(bench: Bench) -> None:
    """Also where a load was under way; what is noted is how it belongs to the stream now."""
    load = Load("public.hotels", ("hotels",), (PART,), settled=True)
    now = {**MEMBERS, "public.hotels": "1/9"}
    found = bench.resume(memberships=now, checkpoint=bench.checkpoint(loads=(load,)))
    assert set(found.anew) == {"hotels"}
    assert "public.hotels was not in the stream all the time" in found.anew["hotels"]
    assert not found.new_place
    assert found.joined == {"public.hotels"}
    assert found.checkpoint.loads == ()
    assert found.checkpoint.memberships == now


def test_a_table_joins_only_a_stream_that_goes_on(bench: Bench) -> None:
    """A stream that begins anew lacks nothing of it."""
    now = {**MEMBERS, "public.chains": "1/4"}
    three = [HOTELS, ROOMS, projection("chains")]
    assert bench.resume(three, memberships=now).joined == {"public.chains"}
    anew = bench.resume(three, memberships=now, place=None)
    assert not anew.joined
    assert anew.checkpoint.memberships == now
    loads = loads_of(("chains", "rooms"), three, {"public.chains"})
    assert {load.table: load.joined for load in loads} == {
        "public.chains": True,
        "public.rooms": False,
    }


def test_a_projection_that_is_gone_is_forgotten(bench: Bench) -> None:
    """Its index stays: nobody said that it may be deleted."""
    found = bench.resume([HOTELS])
    assert set(found.checkpoint.generations) == {"hotels"}
    assert list(found.forgotten) == [bench.checkpoint().generations["rooms"]]
    assert not found.left_over


def test_an_unfinished_load_goes_on(bench: Bench) -> None:
    """With what was left of it."""
    load = Load("public.hotels", ("hotels",), (PART,), rows=7)
    found = bench.resume(checkpoint=bench.checkpoint(loads=(load,)))
    assert found.checkpoint.loads == (load,)
    assert not found.anew


def test_an_unfinished_load_that_nobody_wants_leaves_no_index_behind(bench: Bench) -> None:
    """Its generation is dropped, and another one is made where the projection is still there."""
    generations = bench.checkpoint().generations
    load = Load("public.hotels", ("hotels", "rooms"), (PART,))
    other = {**generations, "hotels": replace(generations["hotels"], fingerprint="other")}
    found = bench.resume(checkpoint=bench.checkpoint(loads=(load,), generations=other))
    assert found.checkpoint.loads == (replace(load, projections=("rooms",)),)
    assert list(found.left_over) == [other["hotels"]]
    lost = bench.resume(checkpoint=bench.checkpoint(loads=(load,)), place=None)
    assert list(lost.left_over) == [generations["hotels"], generations["rooms"]]


def test_an_unfinished_repair_goes_on_in_the_index_that_is_searched(bench: Bench) -> None:
    """That index is never dropped, whatever else has become of the repair."""
    generations = bench.checkpoint().generations
    repair = Load("public.hotels", ("hotels",), (PART,), since=Position(90))
    kept = bench.checkpoint(loads=(repair,))
    found = bench.resume(checkpoint=kept)
    assert found.checkpoint == kept
    assert being_filled(found.checkpoint.loads) == set()
    gone = bench.resume([ROOMS], checkpoint=kept)
    assert gone.checkpoint.loads == ()
    assert (list(gone.left_over), list(gone.forgotten)) == ([], [generations["hotels"]])
    lost = bench.resume(checkpoint=kept, place=None)
    assert (list(lost.left_over), lost.checkpoint.loads) == ([], ())
    other = {**generations, "hotels": replace(generations["hotels"], fingerprint="other")}
    changed = bench.resume(checkpoint=bench.checkpoint(loads=(repair,), generations=other))
    assert (list(changed.left_over), changed.checkpoint.loads) == ([], ())


SHAPE = Shape("1", "key", {"id": ColumnShape(1, "int", "7"), "name": ColumnShape(2, "text", "7")})
OTHER = replace(SHAPE, table="2")
CHANGE = SchemaChangedError("public.hotels", "the stream has its column x")


def of_every_column(**digests: str) -> FlatProjection:
    """A projection of every column, with the digest of each."""
    return replace(HOTELS, model=replace(HOTELS.model, digests=digests))


def test_a_table_that_has_changed_is_read_again(bench: Bench) -> None:
    """Into the index that is searched; a load of it that was under way begins anew."""
    repair = Load("public.hotels", ("hotels",), (PART,), since=Position(90))
    kept = bench.checkpoint(shapes={"public.hotels": SHAPE}, loads=(repair,))
    same = bench.resume(checkpoint=kept, shapes={"public.hotels": SHAPE})
    assert (same.altered, same.checkpoint.loads) == ({}, (repair,))
    found = bench.resume(checkpoint=kept, shapes={"public.hotels": OTHER})
    assert set(found.altered) == {"public.hotels"}
    assert found.repaired == {"public.hotels": ("hotels",)}
    assert (found.anew, found.checkpoint.loads) == ({}, ())
    assert found.checkpoint.generations == kept.generations


def test_an_index_that_is_being_filled_is_made_anew_where_the_table_has_changed(
    bench: Bench,
) -> None:
    """Nobody searches it: what was written before the change has no end that would sweep it."""
    load = Load("public.hotels", ("hotels",), (PART,))
    kept = bench.checkpoint(shapes={"public.hotels": SHAPE}, loads=(load,))
    found = bench.resume(checkpoint=kept, shapes={"public.hotels": OTHER})
    assert set(found.anew) == {"hotels"}
    assert "another table" in found.anew["hotels"]
    assert list(found.left_over) == [kept.generations["hotels"]]
    assert found.repaired == {}


def test_what_keeps_its_rows_is_made_anew_where_a_table_has_changed(bench: Bench) -> None:
    """And never repaired where it is searched: commits may wait for it, and none is left to a load.

    So does every read model where commits are to wait, those of one table as well.
    """
    config = ProjectionConfig.model_validate({"from": "public.hotel", "fields": ["id"]})
    config.keep()
    compiled = compile_projections({"hotels": config}, TABLES, lambda *_: "")
    assert not compiled.projections
    (plan,) = compiled.plans
    members = {"public.hotel": "1/2"}
    checkpoint = bench.checkpoint(
        generations=create([plan.model], bench.sink),
        memberships=members,
        shapes={"public.hotel": SHAPE},
    )
    found = replace(bench.found, memberships=members, shapes={"public.hotel": OTHER})
    resumed = resume("pipe", replace(found, checkpoint=checkpoint), [plan], bench.sink, show)
    assert "table public.hotel is read again" in resumed.anew["hotels"]
    assert resumed.repaired == {}


def test_a_shape_that_was_never_noted_is_adopted(bench: Bench) -> None:
    """A checkpoint of an older daemon has none."""
    assert not bench.resume(shapes={"public.hotels": OTHER}).altered


def test_only_what_the_catalog_does_not_explain_is_read_again(bench: Bench) -> None:
    """The stream has shown another shape: a column more in the catalog says why."""
    kept = bench.checkpoint(shapes={"public.hotels": SHAPE})
    more = replace(SHAPE, columns={**SHAPE.columns, "x": ColumnShape(3, "int", "8")})
    for shape, altered in ((SHAPE, {"public.hotels": CHANGE.why}), (more, {})):
        found = bench.resume(checkpoint=kept, shapes={"public.hotels": shape}, unexplained=CHANGE)
        assert found.altered == altered


def test_columns_come_go_and_change(bench: Bench) -> None:
    """New ones are added to the index, where it takes them; one that is gone has all read again."""
    before = of_every_column(id="int", name="text")
    generations = create([before.model], bench.sink)
    kept = bench.checkpoint(generations=generations)
    added = bench.resume([of_every_column(id="int", name="text", x="int")], checkpoint=kept)
    assert (added.anew, added.altered) == ({}, {})
    assert added.checkpoint.generations["hotels"].fields == {
        "id": "int",
        "name": "text",
        "x": "int",
    }
    assert bench.sink.said[-1] == ("extend", generations["hotels"].index)
    gone = bench.resume([of_every_column(id="int")], checkpoint=kept)
    assert gone.altered == {"public.hotels": "column name is gone"}
    assert gone.checkpoint.generations["hotels"].fields == {"id": "int"}
    retyped = bench.resume([of_every_column(id="int", name="int")], checkpoint=kept)
    assert retyped.anew == {"hotels": "column name has another type, or is made in another way"}
    refused = bench.resume([of_every_column(id="int", name="text", other="x")], checkpoint=kept)
    assert "has had a column other of another type" in refused.anew["hotels"]


def test_coverage_ends_with_its_position(bench: Bench) -> None:
    """Not with the load: what it leaves out may come again as long as it isn't confirmed."""
    early, late = (Coverage("7", Position(50), Position(end)) for end in (100, 101))
    kept = bench.checkpoint(covered={"public.hotels": early, "public.rooms": late})
    assert bench.resume(checkpoint=kept).checkpoint.covered == {"public.rooms": late}


def test_one_load_reads_a_table_for_all_projections_of_it() -> None:
    """Once for each table."""
    twin = replace(HOTELS, model=replace(HOTELS.model, name="twin"))
    loads = loads_of(("hotels", "twin", "rooms"), [HOTELS, twin, ROOMS])
    by_table = {load.table: load.projections for load in loads}
    assert sorted(sum(by_table.values(), ())) == ["hotels", "rooms", "twin"]
    assert by_table[HOTELS.relation.qualified_name][:2] == ("hotels", "twin")
    assert not any(load.settled or load.todo for load in loads)


def test_publishing_drops_the_generation_before(bench: Bench) -> None:
    """And doing it again is nothing."""
    old = bench.checkpoint().generations["hotels"]
    publish(bench.sink, old)
    new = create([HOTELS.model], bench.sink)["hotels"]
    publish(bench.sink, new)
    assert bench.sink.aliases == {"hotels": new.index}
    assert old.index not in bench.sink.indices
    publish(bench.sink, new)
    assert bench.sink.aliases == {"hotels": new.index}


def test_what_the_state_lacks_is_made_anew(bench: Bench) -> None:
    """A generation that waits for the state goes on; one that was given documents doesn't."""
    (plan,) = plans(hotels={"embed": {"rooms": JOINED_ROOMS}})
    generations = create([plan.model], bench.sink)
    members = {relation.qualified_name: "1/2" for relation in plan.relations}
    lacking = {"hotels": "rows of public.room"}
    for building, held, reason in (
        ((), (), "the state lacks rows of public.room, as they are mapped now"),
        (("hotels",), (), "the state lacks rows of public.room, as they are mapped now"),
        (("hotels",), ("hotels",), None),
    ):
        checkpoint = bench.checkpoint(
            generations=generations, memberships=members, building=building, state_id="state-1"
        )
        found = replace(bench.found, memberships=members, lacking=lacking, held=held)
        resumed = resume("pipe", replace(found, checkpoint=checkpoint), [plan], bench.sink, show)
        assert resumed.anew.get("hotels") == reason
        assert resumed.checkpoint.building == (building if reason is None else ())
