"""The first load: when it is needed, and in which order it becomes visible."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.errors import SourceError
from cdc_daemon.events import Checkpoint, Position
from cdc_daemon.loading import Found, load, new_generations, publish, reason_to_load
from cdc_daemon.metrics import Metrics
from cdc_daemon.pipeline import Stopped
from tests.generators.fakes import (
    MemoryClock,
    MemorySink,
    ScriptedSource,
    Trouble,
    configuration,
    projection,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOTELS, ROOMS = projection("hotels"), projection("rooms")


def show(position: Position) -> str:
    """As people know it."""
    return f"@{position}"


class Bench(NamedTuple):
    """A sink with a finished load, and what a start finds."""

    sink: MemorySink
    found: Found

    def reason(self, **changed: Any) -> str | None:
        """Why it must load, if a part of what is found were another."""
        return reason_to_load(replace(self.found, **changed), [HOTELS], self.sink, show)

    def checkpoint(self, **changed: Any) -> Checkpoint:
        """The checkpoint, with changes."""
        assert self.found.checkpoint is not None
        return replace(self.found.checkpoint, **changed)


@pytest.fixture
def bench() -> Bench:
    """All is well."""
    sink = MemorySink()
    generation = sink.create_generation(HOTELS.model)
    checkpoint = Checkpoint("pipe", Position(100), "system/1", {"hotels": generation}, loaded=True)
    return Bench(sink, Found(checkpoint, Position(100), "system/1"))


def test_a_pipeline_goes_on_where_it_was(bench: Bench) -> None:
    """Nothing is loaded when all is there; a source that is behind the checkpoint is fine."""
    assert bench.reason() is None
    assert bench.reason(place=Position(40)) is None


def test_every_reason_to_load_is_said(bench: Bench) -> None:
    """Each in its own words, so that nobody has to guess why a load of hours begins."""
    reasons = {
        "first start": bench.reason(checkpoint=None, place=None),
        "checkpoint was lost": bench.reason(checkpoint=None),
        "cut short": bench.reason(checkpoint=bench.checkpoint(loaded=False)),
        "another one: system/2, it was system/1": bench.reason(source_id="system/2"),
        "slot was dropped or lost": bench.reason(place=None),
        "gone on to @101, the checkpoint says @100": bench.reason(place=Position(101)),
        "added or removed": bench.reason(checkpoint=bench.checkpoint(generations={})),
    }
    for words, reason in reasons.items():
        assert reason is not None, words
        assert words in reason


def test_another_mapping_is_a_reason(bench: Bench) -> None:
    """Its fingerprint is another one."""
    (generation,) = bench.checkpoint().generations.values()
    other = {"hotels": replace(generation, fingerprint="other")}
    reason = bench.reason(checkpoint=bench.checkpoint(generations=other))
    assert reason is not None
    assert "mapping" in reason


def test_another_index_of_the_same_name_is_a_reason(bench: Bench) -> None:
    """Deleted, or deleted and made again: its documents are not ours."""
    (generation,) = bench.checkpoint().generations.values()
    bench.sink.index(generation.index).uuid = "another"
    reason = bench.reason()
    assert reason is not None
    assert generation.index in reason
    bench.sink.drop_generation(generation)
    assert bench.reason() == reason


def test_a_load_that_was_cut_short_leaves_no_index_behind(bench: Bench) -> None:
    """Its generations are dropped; finished ones go on serving until the new ones are there."""
    (finished,) = bench.checkpoint().generations.values()
    checkpoint = new_generations("pipe", bench.found, [HOTELS, ROOMS], bench.sink)
    assert not checkpoint.loaded
    assert bench.sink.checkpoints.stored["pipe"] == checkpoint
    assert finished.index in bench.sink.indices
    again = new_generations("pipe", Found(checkpoint, None, "system/1"), [HOTELS], bench.sink)
    assert set(bench.sink.indices) == {finished.index, again.generations["hotels"].index}


def test_publishing_drops_the_generation_before(bench: Bench) -> None:
    """And doing it again is nothing."""
    (old,) = bench.checkpoint().generations.values()
    publish(bench.sink, old)
    new = bench.sink.create_generation(HOTELS.model)
    publish(bench.sink, new)
    assert bench.sink.aliases == {"hotels": new.index}
    assert set(bench.sink.indices) == {new.index}
    publish(bench.sink, new)
    assert set(bench.sink.indices) == {new.index}


class Loading(NamedTuple):
    """A load over fakes."""

    sink: MemorySink
    source: ScriptedSource
    delivery: Delivery
    checkpoint: Checkpoint

    def run(self, look: Callable[[], None] = lambda: None) -> Checkpoint:
        """Load."""
        return load(self.source, self.sink, self.delivery, [HOTELS, ROOMS], self.checkpoint, look)


@pytest.fixture
def loading(tmp_path: Path, no_backoff: None) -> Iterator[Loading]:  # noqa: ARG001 - for its effect
    """Two projections of 2,000 rows each, over a sink in trouble."""
    sink = MemorySink(Trouble(seed=5, lost=0.2, overloaded=0.01, refresh=0.3, store=0.3))
    blocks = [
        [[b'"%d"' % (100 * block + one), b'{"n":%d}' % one] for one in range(100)]
        for block in range(20)
    ]
    source = ScriptedSource(blocks)  # type: ignore[arg-type]  # lists of bytes are rows
    found = Found(None, None, "system/1")
    checkpoint = new_generations_for_sure(found, sink)
    metrics = Metrics("pipe", 1)
    delivery = Delivery(
        configuration=configuration(tmp_path, "hotels", "rooms"),
        sink=sink,
        projections={checkpoint.generations[one.name].index: one for one in (HOTELS, ROOMS)},
        monitor=Monitor(MemoryClock(), metrics),
        metrics=metrics,
        wake=lambda: None,
    )
    delivery.start()
    yield Loading(sink, source, delivery, checkpoint)
    sink.trouble = Trouble()
    sink.gate.set()
    delivery.close()


def new_generations_for_sure(found: Found, sink: MemorySink) -> Checkpoint:
    """Made before the trouble begins."""
    trouble, sink.trouble = sink.trouble, Trouble()
    checkpoint = new_generations("pipe", found, [HOTELS, ROOMS], sink)
    sink.trouble = trouble
    return checkpoint


def test_no_alias_moves_before_all_is_durable_searchable_and_checkpointed(
    loading: Loading,
) -> None:
    """Searches never see a part of a load, whatever the sink does meanwhile."""
    seen: list[int] = []
    real = loading.sink.publish

    def watched(generation: Any) -> Any:
        seen.append(len(loading.sink.index(generation.index).searchable))
        stored = loading.sink.checkpoints.stored["pipe"]
        assert stored.loaded
        return real(generation)

    loading.sink.publish = watched  # type: ignore[method-assign]  # and looked at
    checkpoint = loading.run()
    assert checkpoint.loaded
    assert checkpoint.position == 100
    assert seen == [2000, 2000]
    assert loading.source.said == ["snapshot closed"]
    said = [what for what, _ in loading.sink.said if what in {"checkpoint", "publish"}]
    assert said == ["checkpoint", "checkpoint", "publish", "publish"]
    index = loading.sink.index(loading.checkpoint.generations["hotels"].index)
    assert index.searchable[b'"1999"'] == (100, b'{"n":99}')


def test_a_load_that_fails_shows_and_stores_nothing(loading: Loading) -> None:
    """What only a person can mend: the next start begins anew."""
    looks = iter([None, None, None])

    def fail() -> None:
        if next(looks, "over") == "over":
            raise SourceError("a table has changed")

    with pytest.raises(SourceError):
        loading.run(fail)
    assert loading.source.said == ["snapshot closed"]
    assert loading.sink.aliases == {}
    assert not loading.sink.checkpoints.stored["pipe"].loaded


def test_a_stop_is_heard_between_blocks(loading: Loading) -> None:
    """However fast the sink is."""
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks > 5:
            raise Stopped

    with pytest.raises(Stopped):
        loading.run(look)
    assert not loading.sink.checkpoints.stored["pipe"].loaded
    assert loading.sink.aliases == {}


def test_nothing_is_published_while_a_batch_is_not_answered(loading: Loading) -> None:
    """Waiting for the last batch is waiting, and not the end of a load."""
    loading.sink.gate.clear()
    loading.delivery.dispatcher.wait_for_room = lambda: stop_after(started)
    started = time.monotonic()
    with pytest.raises(Stopped):
        loading.run()
    assert loading.sink.aliases == {}


def stop_after(started: float) -> None:
    """Wait a while for the sink, then give up."""
    time.sleep(0.02)
    if time.monotonic() - started > 0.3:
        raise Stopped
