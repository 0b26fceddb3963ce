"""A start: where a table changes while it is looked at; and what it refuses, it hasn't touched."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.config.loader import load
from cdc_daemon.errors import (
    RetryError,
    SchemaChangedError,
    SourceError,
    StartAgainError,
    StopError,
    TakenOverError,
)
from cdc_daemon.events import ColumnShape, Shape
from cdc_daemon.metrics import Metrics
from cdc_daemon.starting import Start
from tests.generators.by_hand import table
from tests.generators.joined_store import TABLES
from tests.generators.memory_sink import MemoryIndex, MemorySink
from tests.generators.scripted_source import ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from cdc_daemon.events import Relation
    from cdc_daemon.ports import TableRequest
    from cdc_daemon.starting import Begun

ITEM = table("id", name="item")
SHAPE = Shape("1", "key", {"id": ColumnShape(1, "int", "70")}, "1")
YAML = """
name: pipe
source: {type: postgres, dsn: "postgresql:///"}
sink: {type: opensearch, hosts: ["http://127.0.0.1:1"]}
projections: {items: {from: item, fields: "*"}}
"""


class Catalog:
    """A `ShapeReader` of one table."""

    def __init__(self) -> None:
        self.shape = SHAPE

    def read(self, tables: Sequence[str]) -> dict[str, Shape]:
        """As it is now."""
        assert list(tables) == ["item"]
        return {"public.item": self.shape}

    def close(self) -> None:
        """Nothing to release."""


class Changing(ScriptedSource):
    """The table may become another one before the source has looked at all there is to it."""

    def __init__(self, *, changes: bool) -> None:
        super().__init__()
        self._changes = changes
        self._catalog = Catalog()

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """The one table."""
        assert [one.name for one in tables] == ["item"]
        return [ITEM]

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """What was described of it doesn't fit any more."""
        if self._changes:
            self._catalog.shape = replace(SHAPE, columns={})
        raise SourceError(f"{relations[0].qualified_name} has no column id")

    def shape_reader(self) -> Catalog:
        """Of the one table."""
        return self._catalog


def start(folder: Path, source: Changing, *, standby: bool = False) -> Start:
    """Of one projection."""
    (folder / "cdc-daemon.yaml").write_text(f"{YAML}standby: {str(standby).lower()}\n")
    loaded = load(folder / "cdc-daemon.yaml", {})
    metrics = Metrics("pipe", 1)
    return Start(loaded, source, MemorySink(), metrics, threading.Event(), lambda: None)


def test_what_is_wrong_because_a_table_has_just_changed_is_tried_again(tmp_path: Path) -> None:
    """Two looks at it don't fit together: that is no reason to stop."""
    with pytest.raises(SchemaChangedError, match=r"public\.item has changed") as caught:
        start(tmp_path, Changing(changes=True)).begin()
    assert caught.value.in_catalog


def test_what_is_wrong_with_a_table_that_stays_as_it_is_stops(tmp_path: Path) -> None:
    """A person must act."""
    with pytest.raises(SourceError, match="has no column id"):
        start(tmp_path, Changing(changes=False)).begin()


class Away(Changing):
    """Nobody can look at it."""

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """Not now."""
        raise RetryError(f"{tables[0].name} can't be looked at", reason="unavailable")


@pytest.mark.parametrize("standby", [False, True])
def test_of_several_daemons_one_that_has_its_turn_has_the_source(
    tmp_path: Path, *, standby: bool
) -> None:
    """Another one only waits, and what the source keeps is no concern of it."""
    one = start(tmp_path, Away(changes=False), standby=standby)
    one.reaching.is_first = False
    with pytest.raises(RetryError):
        one.begin()
    assert one.is_ours is not standby
    one.is_ours = True  # it had its turn
    one.again(StartAgainError("the source is another one"))
    with pytest.raises(RetryError):
        one.begin()
    assert one.is_ours, "nobody else has it"
    one.again(TakenOverError("another daemon has taken over"))
    with pytest.raises(RetryError):
        one.begin()
    assert not one.is_ours


JOINED = """
name: pipe
source: {type: postgres, dsn: "postgresql:///"}
sink: {type: opensearch, hosts: ["http://127.0.0.1:1"]}
state: {path: %s}
backfill: {mode: %s}
projections:
  hotels:
    from: public.hotel
    fields: [id, name]
    embed: {rooms: {many: public.room, on: {hotel_id: id}, fields: [%s]}}
"""


class Shapeless:
    """A `ShapeReader` of tables that never change."""

    def read(self, tables: Sequence[str]) -> dict[str, Shape]:
        """All alike."""
        return dict.fromkeys(tables, SHAPE)

    def close(self) -> None:
        """Nothing to release."""


class Hotels(ScriptedSource):
    """Hotels and their rooms."""

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """As they are."""
        return [TABLES[one.name] for one in tables]

    def shape_reader(self) -> Shapeless:
        """Of all."""
        return Shapeless()


class Starts:
    """One after the other, of a pipeline whose read model is joined."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sink = MemorySink()
        self.begin("initial", loaded=["public.hotel", "public.room"])
        self._checkpoints = self.sink.checkpoints.stored
        self._checkpoints["pipe"] = replace(self._checkpoints["pipe"], building=())

    def begin(self, mode: str, rooms: str = "id", loaded: Collection[str] = ()) -> Begun:
        """A start, which is let go of once the rows of these tables have come."""
        path = self._folder / "cdc-daemon.yaml"
        path.write_text(JOINED % (self._folder, mode, rooms))
        metrics, stopping = Metrics("pipe", 1), threading.Event()
        one = Start(load(path, {}), Hotels(), self.sink, metrics, stopping, lambda: None)
        try:
            begun = one.begin()
            assert begun.store is not None
            for name in loaded:
                begun.store.loaded(name)
            begun.store.write(lambda batch: batch.reached(begun.checkpoint.position))
            return begun
        finally:
            one.let_go()

    @property
    def index(self) -> str:
        """That of the read model."""
        return self._checkpoints["pipe"].generations["hotels"].index


def test_a_start_that_is_refused_has_changed_nothing(tmp_path: Path) -> None:
    """Rows would be missing, and none may be loaded: with the mapping as it was it goes on."""
    starts = Starts(tmp_path)
    before = starts.begin("never").store
    assert before is not None
    with pytest.raises(StopError, match="a joined read model needs every row of its tables"):
        starts.begin("never", "id, kind")
    again = starts.begin("never")
    assert again.store is not None
    assert again.store.schema == before.schema
    assert (again.checkpoint.building, starts.index) == ((), "hotels-1")


def test_without_a_load_what_lacks_no_row_is_made_anew(tmp_path: Path) -> None:
    """Its index has gone: all of it is in the state."""
    starts = Starts(tmp_path)
    starts.sink.indices = {"other": MemoryIndex("uuid")}
    begun = starts.begin("never")
    assert begun.checkpoint.building == ("hotels",)
    assert begun.store is not None
    assert begun.store.schema.to_load == []
