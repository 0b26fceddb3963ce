"""While the source is away documents come of the state, which has all that they need."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from cdc_daemon import alone
from cdc_daemon.assembly.climbing import BOUNDS
from cdc_daemon.backfill.backfill import Backfill
from cdc_daemon.backfill.filler import HoleFiller
from cdc_daemon.config.models import BackfillConfig
from cdc_daemon.errors import RetryError, StartAgainError
from cdc_daemon.joining.sending import SLICE_DOCUMENTS
from cdc_daemon.pipeline import Pipeline
from tests.generators.conditions import wait_until
from tests.generators.following import following
from tests.generators.joining_reader import BEGIN, INDEX, Reader, reading
from tests.generators.scripted_source import ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cdc_daemon.events import Position, Relation

COUNT = 3 * BOUNDS.change
"""Documents of a wide change."""
MANY = 4 * SLICE_DOCUMENTS
"""More than are sent where there is no room."""


class AwaySource(ScriptedSource):
    """One that can't be reached until the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.away = True
        self.tried = 0

    def start(
        self,
        relations: Sequence[Relation],
        after: Position,
        *,
        whole: bool = False,
        silence_seconds: float | None = None,
    ) -> None:
        """Refuse, or note from where."""
        self.tried += 1
        if self.away:
            raise RetryError("the source is away", reason="unavailable")
        super().start(relations, after, whole=whole, silence_seconds=silence_seconds)


@contextmanager
def without_source(reader: Reader, folder: Path) -> Iterator[AwaySource]:
    """The reader's pipeline in a thread, whose source is away."""
    source, stop = AwaySource(), threading.Event()
    failures: list[BaseException] = []
    backfill = Backfill(
        config=BackfillConfig(workers=1),
        source=source,
        sink=reader.sink,
        delivery=reader.delivery,
        generations={},
        all_loaded=lambda: None,
        recent=deque(),
    )
    pipeline = Pipeline(
        source=source,
        source_id="system/1",
        relations=[*reader.joiner.relations],
        indices=[],
        delivery=reader.delivery,
        backfill=backfill,
        filler=HoleFiller(source, reader.delivery, {}),
        transaction_bytes=1_000_000,
        spill_folder=folder / "spill",
        stopping=stop.is_set,
        state=lambda _: None,
        joiner=reader.joiner,
    )
    thread = following(pipeline, failures)
    try:
        yield source
        assert not failures
    finally:
        stop.set()
        source.wake()
        thread.join(10)
        assert not thread.is_alive()
        backfill.close()


def shown(reader: Reader) -> int:
    """How many documents show the chain as it is by now."""
    documents = reader.sink.index(INDEX).documents.values()
    return sum(body is not None and b"Regal" in body for _, body in documents)


def rename(reader: Reader) -> None:
    """Of a chain that all documents show, when these are there."""
    for number in range(COUNT):
        reader.insert("hotel", id=b"%d" % number, chain_id=b"1")
    reader.commit(110)
    reader.joiner.flush()
    reader.deliver()
    reader.insert("chain", id=b"1", name=b'"Regal"')
    reader.commit(120)
    reader.joiner.flush()


def test_a_wide_change_goes_on_while_the_source_is_away(tmp_path: Path, no_backoff: None) -> None:
    """To its last document; and what is written is pending no more."""
    del no_backoff
    with reading(tmp_path) as reader:
        rename(reader)
        assert shown(reader) == 0
        with without_source(reader, tmp_path) as source:
            assert wait_until(lambda: reader.progress.durable() == 120, 20)
            assert shown(reader) == COUNT
            assert wait_until(lambda: not reader.joiner._sending.in_flight, 20)
            assert source.started == []
        assert reader.joiner.projections.pending() == []


def lose_source(reader: Reader) -> None:
    """While documents are sent, and the queues are full."""

    def lose() -> None:
        raise RetryError("the connection was lost")

    reader.delivery.dispatcher.wait_for_room = lose
    reader.insert("chain", id=b"1", name=b'"Regal"')
    for number in range(MANY):
        reader.insert("hotel", id=b"%d" % number, chain_id=b"1")
    reader.commit(110)
    with pytest.raises(RetryError):
        reader.joiner.flush()
    reader.delivery.start()


def test_what_was_not_sent_is_while_the_source_is_away(tmp_path: Path, no_backoff: None) -> None:
    """And what wasn't applied of the stream comes again."""
    del no_backoff
    with reading(tmp_path, queue=1_000, batch=1_000) as reader:
        lose_source(reader)
        reader.insert("hotel", id=b"77777", chain_id=b"1")
        reader.commit(120)
        reader.insert("hotel", id=b"77778", chain_id=b"1")
        with without_source(reader, tmp_path) as source:
            assert wait_until(lambda: shown(reader) == MANY, 20)
            source.away = False
            assert wait_until(lambda: bool(source.started), 20)
            assert source.started[0] == BEGIN, "none of it was received"
            assert shown(reader) == MANY


def test_the_source_is_tried_again_while_there_is_no_room(
    tmp_path: Path, no_backoff: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the sink is away as well, it isn't waited for."""
    del no_backoff
    monkeypatch.setattr(alone, "ALONE_SECONDS", 0.2)
    with reading(tmp_path, queue=1_000, batch=1_000) as reader:
        reader.sink.gate.clear()
        lose_source(reader)
        with without_source(reader, tmp_path) as source:
            assert wait_until(lambda: source.tried > 3, 20)
            reader.sink.gate.set()
            assert wait_until(lambda: shown(reader) == MANY, 20)


class SlowlyShown:
    """What is whole, where it takes long until searches see it."""

    is_pressing = False

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.writes = True
        self.begun = 0

    def write(self) -> None:
        """Show it."""
        self.reader.delivery.aside(self._show)
        self.writes = False

    def _show(self) -> None:
        self.begun += 1
        time.sleep(0.5)


def test_what_fails_during_slow_work_ends_it(tmp_path: Path) -> None:
    """The work may be waiting for a sink that is away, and the source's disk isn't endless."""
    with reading(tmp_path) as reader:
        reader.delivery.fail(StartAgainError("the source is another one"))
        shows = SlowlyShown(reader)
        writing = alone.Alone(reader.delivery, cast("Backfill", shows), None, lambda: False)
        with pytest.raises(StartAgainError):
            writing.write()
        assert shows.writes


def test_slow_work_is_begun_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the source would be tried again meanwhile: two at once would meet."""
    monkeypatch.setattr(alone, "ALONE_SECONDS", 0.1)
    with reading(tmp_path) as reader:
        shows = SlowlyShown(reader)
        writing = alone.Alone(reader.delivery, cast("Backfill", shows), None, lambda: False)
        writing.write()
        assert shows.begun == 1
        assert not shows.writes
        assert reader.delivery.wait_beside is None
