"""Joined read models are loaded: rows of a scripted source into a real state, documents out."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cdc_daemon.assembly import joined, wanted
from cdc_daemon.backfill import statechunks
from cdc_daemon.backfill.backfill import Backfill
from cdc_daemon.backfill.filler import HoleFiller
from cdc_daemon.backfill.joinedloads import JoinedLoads
from cdc_daemon.config.models import BackfillConfig, MemoryConfig
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.errors import RetryError
from cdc_daemon.events import (
    UNCHANGED,
    Change,
    ChangeKind,
    Checkpoint,
    Commit,
    Generation,
    Load,
    Position,
    Watermark,
)
from cdc_daemon.joining import Joiner
from cdc_daemon.metrics import Metrics
from cdc_daemon.pipeline import Pipeline
from cdc_daemon.projection.compiler import Compiled
from tests.generators.by_hand import configuration
from tests.generators.conditions import wait_until
from tests.generators.joined_store import plans
from tests.generators.memory_sink import MemorySink
from tests.generators.scripted_source import Below, ScriptedSource
from tests.generators.states import found_store, new_store
from tests.unit.backfill.conftest import NudgedAtOnce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from cdc_daemon.events import Event, Row
    from cdc_daemon.state import Store

CHILDREN: dict[str, Any] = {"count": "public.chain", "on": {"parent_id": "id"}}
(PLAN,) = plans(
    chains={"from": "public.chain", "fields": ["id", "name"], "embed": {"below": CHILDREN}}
)
CHAIN = PLAN.relation
BLOCKS = 5
INDEX = "chains-1"
GENERATION = Generation("chains", INDEX, "uuid", "fingerprint")
BEGIN = Position(100)


def row(number: int, name: bytes = b'"old"') -> Row:
    """Each is below the first one."""
    return [b"%d" % number, name, b"0"]


def blocks() -> list[list[Row]]:
    """50 rows."""
    return [[row(10 * block + one) for one in range(10)] for block in range(BLOCKS)]


class Loading:
    """A pipeline in a thread; it is loaded once `all_loaded` is set."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        source: ScriptedSource,
        sink: MemorySink,
        repair: Load | None,
    ) -> None:
        self.source, self.sink = source, sink
        self.all_loaded, self.stop = threading.Event(), threading.Event()
        self.failures: list[BaseException] = []
        metrics = Metrics("pipe", 1)
        checkpoint = Checkpoint(
            "pipe",
            BEGIN,
            "system/1",
            {"chains": GENERATION},
            building=() if repair else ("chains",),
        )
        store.fit(wanted([PLAN]))
        self.delivery = Delivery(
            configuration=configuration(folder, "chains"),
            sink=self.sink,
            projections={INDEX: PLAN},
            monitor=NudgedAtOnce(source, metrics),
            metrics=metrics,
            wake=source.wake,
        )
        self.delivery.start()
        self.delivery.resume(checkpoint, BEGIN)
        joiner = Joiner(
            store=store,
            plans=[PLAN],
            indices={"chains": INDEX},
            delivery=self.delivery,
            memory=MemoryConfig(),
            folder=folder,
        )
        joiner.begin()
        self.backfill = Backfill(
            config=BackfillConfig(workers=1),
            source=source,
            sink=self.sink,
            delivery=self.delivery,
            generations=checkpoint.generations,
            all_loaded=self.all_loaded.set,
            recent=deque(),
            joined=JoinedLoads(
                joiner, [PLAN], {"chains": INDEX}, checkpoint.building, self.delivery.dispatcher
            ),
        )
        loads = () if repair is None else (repair,)
        self.backfill.begin(loads, Compiled((), (CHAIN,), plans=(PLAN,)))
        self.backfill.begin_joined()
        self.pipeline = Pipeline(
            source=source,
            source_id="system/1",
            relations=[CHAIN],
            indices=[],
            delivery=self.delivery,
            backfill=self.backfill,
            filler=HoleFiller(source, self.delivery, {}),
            transaction_bytes=1_000_000,
            spill_folder=folder / "spill",
            stopping=self.stop.is_set,
            state=lambda _: None,
            joiner=joiner,
        )
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def _follow(self) -> None:
        try:
            self.pipeline.follow_for_ever(BEGIN)
        except BaseException as error:  # noqa: BLE001 - shown to the test
            self.failures.append(error)

    def start(self) -> None:
        """Follow in the background."""
        self._thread.start()

    def stream(self, *events: Event) -> None:
        """These come next."""
        self.source.script.append(list(events))
        self.source.wake()

    def close(self) -> None:
        """End all threads: the state is the test's again."""
        self.stop.set()
        self.source.may_read.set()
        self.source.wake()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.backfill.close()
        self.delivery.close()

    def shown(self) -> dict[bytes, bytes]:
        """What searches find."""
        found = self.sink.index(INDEX).searchable
        return {key: body for key, (_, body) in found.items() if body is not None}


@contextmanager
def loading(
    folder: Path,
    store: Store,
    reached: int = 100,
    sink: MemorySink | None = None,
    repair: Load | None = None,
) -> Iterator[Loading]:
    """One that is closed in the end; `repair` is what its checkpoint has."""
    source = ScriptedSource(blocks(), reached)
    made = Loading(folder, store, source, sink or MemorySink(), repair)
    try:
        yield made
        assert not made.failures
    finally:
        made.close()


def document(number: int, name: bytes = b"old", below: int = 0) -> bytes:
    """As it is to be."""
    return b'{"id":%d,"name":"%b","below":%d}' % (number, name, below)


def test_rows_are_kept_and_each_document_is_written_once(tmp_path: Path, no_backoff: None) -> None:
    """Searches see them once all are durable, and the checkpoint says so."""
    del no_backoff
    with new_store(tmp_path / "state") as store, loading(tmp_path, store) as one:
        one.start()
        assert one.all_loaded.wait(20), one.failures
        assert len(one.shown()) == 50
        assert {len(arrived) for arrived in one.sink.index(INDEX).arrived.values()} == {1}
        assert one.sink.aliases == {"chains": INDEX}
        assert one.sink.checkpoints.stored["pipe"].building == ()
        assert store.schema.to_load == []


def update(number: int, name: Any, xid: int, position: int) -> list[Event]:
    """A transaction that no chunk sees."""
    new = [b"%d" % number, name, b"0"]
    change = Change(CHAIN, ChangeKind.UPDATE, new, has_unchanged=name is UNCHANGED)
    return [change, Commit(Position(position), 0.0, xid)]


def test_rows_of_the_stream_win(tmp_path: Path, no_backoff: None) -> None:
    """Over chunks that don't see it, whenever those are put in."""
    del no_backoff
    with (
        new_store(tmp_path / "state") as store,
        loading(tmp_path, store, reached=200) as one,
    ):
        gone = Change(CHAIN, ChangeKind.DELETE, None, row(7))
        one.source.script = [[gone, *update(5, b'"new"', 2000, 150)]]
        one.start()
        assert wait_until(lambda: one.backfill.chunks_out > 0)
        one.stream(Watermark(Position(300)))
        assert one.all_loaded.wait(20), one.failures
        shown = one.shown()
        assert len(shown) == 49
        assert shown[b'"5"'] == document(5, b"new")
        assert shown[b'"6"'] == document(6)
        assert shown[b'"0"'] == document(0, below=49)


def test_a_value_that_no_chunk_brings_is_read_by_key(tmp_path: Path, no_backoff: None) -> None:
    """Until a snapshot sees what the stream has left it out of."""
    del no_backoff
    with (
        new_store(tmp_path / "state") as store,
        loading(tmp_path, store, reached=200) as one,
    ):
        one.source.by_key = {("5",): row(5, b'"large"')}
        one.source.script = [update(5, UNCHANGED, 2000, 150)]
        one.start()
        one.stream(Watermark(Position(300)))
        assert wait_until(lambda: one.source.said.count("read [('5',)]") > 1, 20)
        assert not one.all_loaded.is_set(), "no snapshot sees it"
        one.source.seen = Below(3000)
        assert one.all_loaded.wait(20), one.failures
        assert one.shown()[b'"5"'] == document(5, b"large")


def test_a_load_goes_on_where_it_was(
    tmp_path: Path, no_backoff: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the state isn't read again: of a chunk that is half there all is."""
    del no_backoff
    monkeypatch.setattr(statechunks, "SLICE", 3)
    with new_store(tmp_path / "state") as store:
        with loading(tmp_path, store, reached=200) as one:
            one.start()
            assert wait_until(lambda: one.backfill.chunks_out == 3)
            one.backfill.pause(paused=True)
            one.stream(Watermark(Position(300)))
            assert wait_until(lambda: one.backfill.chunks_out == 0)
            kept = store.count(CHAIN)
        assert kept == 30
    with found_store(tmp_path / "state") as store:
        renamed = [[row(10 * block + n, b'"new"') for n in range(10)] for block in range(BLOCKS)]
        with loading(tmp_path, store) as one:
            one.source.blocks = renamed
            one.start()
            assert one.all_loaded.wait(20), one.failures
            assert sum(b'"new"' in body for body in one.shown().values()) == 50 - kept


def test_documents_are_written_while_the_source_is_away(
    tmp_path: Path, no_backoff: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that they need is in the state; they are shown as well."""
    del no_backoff
    monkeypatch.setattr(joined, "SLICE", 7)
    with new_store(tmp_path / "state") as store, loading(tmp_path, store) as one:
        one.start()
        assert one.all_loaded.wait(20), one.failures
    with found_store(tmp_path / "state") as store, loading(tmp_path, store) as one:

        def away(*_: object, **__: object) -> None:
            raise RetryError("the source is away", reason="unavailable")

        monkeypatch.setattr(one.source, "start", away)
        one.start()
        assert one.all_loaded.wait(20), one.failures
        assert len(one.shown()) == 50
        assert one.sink.aliases == {"chains": INDEX}
        assert one.source.started == []


def test_a_repair_waits_for_a_state_that_is_behind_it(tmp_path: Path, no_backoff: None) -> None:
    """Another replica began it further on: nothing on the way there may be left out."""
    del no_backoff
    with new_store(tmp_path / "state") as store, loading(tmp_path, store) as one:
        one.start()
        assert one.all_loaded.wait(20), one.failures
    sink = one.sink
    documents = sink.index(INDEX).documents
    documents[b'"5"'] = (Position(250), document(5, b"new"))  # as the other one wrote it
    documents[b'"8"'] = (Position(251), b'{"id":"altered"}')
    documents[b'"ghost"'] = (Position(260), b'{"id":"ghost"}')
    repair = Load(CHAIN.qualified_name, ("chains",), since=Position(300))
    with (
        found_store(tmp_path / "state") as store,
        loading(tmp_path, store, sink=sink, repair=repair) as one,
    ):
        one.source.script = [update(5, b'"new"', 2000, 250)]
        one.start()
        one.stream(*update(6, b'"newer"', 2001, 280))
        assert one.all_loaded.wait(20), one.failures
        assert wait_until(lambda: len(one.shown()) == 50), "what was deleted is missed"
        shown = one.shown()
        assert shown[b'"8"'] == document(8)
        assert (shown[b'"5"'], shown[b'"6"']) == (document(5, b"new"), document(6, b"newer"))
        versions = [version for version, body in documents.values() if body is not None]
        assert min(versions) >= 300
        assert store.read(lambda batch: batch.position) >= 300
