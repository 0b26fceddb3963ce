"""What the next start will do, told beforehand, where there is a state of joined read models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.assembly import wanted
from cdc_daemon.config.models import BackfillConfig
from cdc_daemon.configured import Configured
from cdc_daemon.errors import SourceError, StopError
from cdc_daemon.events import Checkpoint, Generation, Position
from cdc_daemon.planning import plan
from cdc_daemon.projection.compiler import Compiled
from cdc_daemon.state import Home, folder_of
from tests.generators.by_hand import configuration
from tests.generators.joined_store import ROOMS, plans
from tests.generators.memory_sink import MemorySink
from tests.generators.scripted_source import ScriptedSource
from tests.generators.states import fit_empty, here

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cdc_daemon.events import Relation, Shape

PLANS = plans(hotels={"embed": {"rooms": ROOMS}})
AT = Position(100)


class Shapeless:
    """A `ShapeReader` of nothing."""

    def read(self, tables: Sequence[str]) -> dict[str, Shape]:  # noqa: ARG002 - the port has it
        """None is known."""
        return {}

    def close(self) -> None:
        """Nothing to release."""


class Source(ScriptedSource):
    """A source of hotels and rooms; a daemon may confirm something while it is looked at."""

    confirms = 0

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """All belong to it."""
        self.at = Position(self.at + self.confirms)
        return super().memberships(relations)

    def shape_reader(self) -> Shapeless:
        """One of nothing."""
        return Shapeless()


def with_state(folder: Path) -> MemorySink:
    """A pipeline that has loaded all; the sink has its checkpoint."""
    home, sink = Home(folder_of(folder, "pipe")), MemorySink()
    store = home.create(here())
    fit_empty(store, wanted(PLANS))
    store.write(lambda batch: batch.reached(AT))
    model = PLANS[0].model
    uuid = sink.index("hotels-1").uuid
    generation = Generation("hotels", "hotels-1", uuid, model.fingerprint, model.digests)
    members = ScriptedSource().prepare(PLANS[0].relations)
    sink.checkpoints.store(
        Checkpoint(
            "pipe", AT, "source-1", {"hotels": generation}, memberships=members, state_id=store.id
        )
    )
    store.close()
    home.close()
    return sink


def told(
    folder: Path, sink: MemorySink, backfill: BackfillConfig | None = None, *, keeps: bool = True
) -> list[tuple[str, str]]:
    """Actions and what they are done to; where not `keeps` the source will give up our place."""
    source = Source(position=AT)
    source.history = "source-1"
    source.gives_up_place = not keeps
    compiled = Compiled((), PLANS[0].relations, plans=PLANS)
    config = configuration(folder)
    if backfill is not None:
        config = config.model_copy(update={"backfill": backfill})
    configured = Configured(config, source, sink, compiled)
    return [(step.action, step.subject) for step in plan(configured)]


def test_what_is_whole_is_kept(tmp_path: Path) -> None:
    """The state goes with the checkpoint: nothing is read."""
    assert told(tmp_path, with_state(tmp_path)) == [("keep", "hotels-1")]


def test_a_daemon_that_goes_on_meanwhile_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place that the source has by then is beyond the checkpoint that was looked at before."""
    monkeypatch.setattr(Source, "confirms", 50)
    assert told(tmp_path, with_state(tmp_path)) == [("keep", "hotels-1")]


def test_where_the_checkpoint_was_lost_every_table_is_read(tmp_path: Path) -> None:
    """The stream goes on from somewhere else: no row counts that the state has."""
    sink = with_state(tmp_path)
    sink.checkpoints.stored.clear()
    assert told(tmp_path, sink) == [
        ("slot", ""),
        ("state", str(folder_of(tmp_path, "pipe"))),
        ("create", "a new index of hotels"),
        ("write", "hotels"),
        ("load", "public.hotel"),
        ("load", "public.room"),
    ]


def test_a_place_that_the_start_gives_up_is_told_as_lost(tmp_path: Path) -> None:
    """The publication lacked what the stream then can't have: everything is loaded anew."""
    told_of = told(tmp_path, with_state(tmp_path), keeps=False)
    assert told_of[0] == ("slot", "")
    assert ("load", "public.room") in told_of


def test_what_a_start_refuses_is_refused_beforehand(tmp_path: Path) -> None:
    """`mode: never` and `when_lost: stop` are heeded, in the words of the start."""
    sink = with_state(tmp_path)
    with pytest.raises(SourceError, match="when_lost is stop"):
        told(tmp_path, sink, BackfillConfig(when_lost="stop"), keeps=False)
    with pytest.raises(StopError, match=r"hotels must be loaded .*mode is never"):
        told(tmp_path, sink, BackfillConfig(mode="never"), keeps=False)
    assert told(tmp_path, sink, BackfillConfig(mode="never")) == [("keep", "hotels-1")]
