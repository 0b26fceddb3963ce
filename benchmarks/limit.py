"""The limit of a load: the same changes discarded, the same documents loaded, side by side.

Two processes that do nothing else: one receives the changes from a slot (or existing rows by COPY)
and drops them; the other sends ready NDJSON by bare HTTP, as many senders as the daemon has. What
the slower one reaches while both run is what no daemon on this machine can pass.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from search import NDJSON, Search
from workload import TABLE

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.events import Change, Commit
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_projections
from connectors.opensearch.mapping import index_body
from connectors.postgres.catalog import describe
from connectors.postgres.pgoutput import Decoder
from connectors.postgres.replication import Keepalive, ReplicationStream
from connectors.postgres.rowplan import tuple_plan
from connectors.postgres.session import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from cdc_daemon.projection.flat import FlatProjection
    from cdc_daemon.projection.joined.plan import Plan

READ_MESSAGES: Final = 2000
BATCH_BYTES: Final = 5_000_000
SENDERS: Final = 2
COMMIT: Final = ord("C")
_COMMIT_END: Final = Struct(">q").unpack_from
ACTION: Final = b'{"index":{"_id":%b,"version":%d,"version_type":"external_gte"}}\n%b\n'
_CHANGES: Final = frozenset(b"IUD")


@dataclass(frozen=True, slots=True)
class Feed:
    """Where the changes wait."""

    dsn: str
    slot: str
    publication: str
    end: int
    """The position behind the last change."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is loaded: batches in one file."""

    url: str
    index: str
    file: str
    batches: list[tuple[int, int, int]]
    """Offset, bytes and documents of each."""


class Step(NamedTuple):
    """How far a process was at a moment (monotonic seconds, the same clock for all processes)."""

    at: float
    done: int


class Limit(NamedTuple):
    """Changes or documents a second."""

    drain: float
    bulk: float
    """Both over the interval in which both ran."""
    drain_seconds: float
    """How long the drain took in all."""
    bulk_seconds: float
    """How long the load took in all, until its last document was searchable."""

    @property
    def rate(self) -> float:
        """The slower of the two."""
        return min(self.drain, self.bulk)


def projection_of(dsn: str) -> FlatProjection:
    """The daemon's own projection of the table: all columns."""
    with connect(dsn, name="benchmark") as connection:
        relations = dict(zip([TABLE], describe(connection, [TableRequest(TABLE)]), strict=True))
    config = ProjectionConfig.model_validate({"from": TABLE, "fields": "*"})
    compiled = compile_projections({"limit": config}, relations, lambda *_: "")
    return compiled.projections[0]


def capture(feed: Feed, file: Path, url: str) -> Load:
    """Write the documents of all changes as NDJSON batches."""
    return write(_lines(feed), file, url)


def write(documents: Iterable[bytes], file: Path, url: str) -> Load:
    """Write documents, each below its action, as NDJSON batches."""
    batches: list[tuple[int, int, int]] = []
    lines: list[bytes] = []
    size = offset = 0
    with file.open("wb") as out:
        for line in documents:
            lines.append(line)
            size += len(line)
            if size >= BATCH_BYTES:
                out.write(b"".join(lines))
                batches.append((offset, size, len(lines)))
                offset, size, lines = offset + size, 0, []
        out.write(b"".join(lines))
        batches.append((offset, size, len(lines)))
    return Load(url, "limit", str(file), batches)


def measure(feed: Feed, load: Load) -> Limit:
    """Drain and load at the same time."""
    return beside(load, _drain, feed)


def drain_alone(feed: Feed) -> float:
    """How many seconds it takes to receive all changes and discard them, in this process."""
    began = time.monotonic()
    for _ in _stream(feed):
        pass
    return time.monotonic() - began


def beside(load: Load, drain: Callable[[Any, Barrier, Any], None], whence: object) -> Limit:
    """Load while `drain` discards what comes from `whence`, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    answers: Any = context.SimpleQueue()
    processes = [
        context.Process(target=drain, args=(whence, barrier, answers)),
        context.Process(target=_bulk, args=(load, barrier, answers)),
    ]
    for process in processes:
        process.start()
    steps: dict[str, list[Step]] = dict(answers.get() for _ in processes)
    for process in processes:
        process.join()
    drained, loaded = steps["drain"], steps["bulk"]
    begin = max(drained[0].at, loaded[0].at)
    end = min(drained[-1].at, loaded[-1].at)
    return Limit(
        _between(drained, begin, end) / (end - begin),
        _between(loaded, begin, end) / (end - begin),
        drained[-1].at - drained[0].at,
        loaded[-1].at - loaded[0].at,
    )


def _between(steps: list[Step], begin: float, end: float) -> float:
    return _done_at(steps, end) - _done_at(steps, begin)


def _done_at(steps: list[Step], at: float) -> float:
    """Interpolated between the two steps around `at`."""
    before = steps[0]
    for step in steps:
        if step.at >= at:
            span = step.at - before.at
            share = (at - before.at) / span if span else 1.0
            return before.done + share * (step.done - before.done)
        before = step
    return before.done


def create_index(search: Search, projection: FlatProjection | Plan, index: str) -> None:
    """A fresh index with the daemon's mapping and settings, which refreshes itself each second."""
    body = index_body(projection.model, pipeline="limit")
    body["settings"]["index.refresh_interval"] = "1s"
    search.ask("PUT", f"/{index}", body)


def _stream(feed: Feed) -> Iterator[list[bytes | Keepalive]]:
    """Messages of the slot, in groups, until the last change has been received."""
    wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    stream = ReplicationStream(connect(feed.dsn, name="limit", replication=True), 10.0, wake)
    stream.start(feed.slot, feed.publication, 0)
    try:
        while True:
            messages = stream.read(READ_MESSAGES, 1.0)
            yield messages
            last = messages[-1] if messages else b" "
            if isinstance(last, Keepalive):
                position = last.end
            else:
                position = _COMMIT_END(last, 10)[0] if last[0] == COMMIT else 0
            if position >= feed.end:
                return
    finally:
        stream.close()
        os.close(wake)


def _lines(feed: Feed) -> Iterator[bytes]:
    """Action and document of every change, a version for each transaction."""
    projection = projection_of(feed.dsn)
    contents = _Contents()
    decoder = Decoder(lambda message: tuple_plan(message, projection.relation))
    for messages in _stream(feed):
        for message in messages:
            event = None if isinstance(message, Keepalive) else decoder.decode(message)
            if isinstance(event, Change):
                projection.apply(event, contents)
            elif isinstance(event, Commit):
                for document_id, body in contents.items():
                    yield ACTION % (document_id, event.position, body)
                contents.clear()


class _Contents(dict[bytes, bytes]):
    """What one transaction gives to each document."""

    def put(self, document_id: bytes, body: bytes | None) -> None:
        self[document_id] = body or b""

    def truncate(self) -> None:
        raise NotImplementedError


def _drain(feed: Feed, barrier: Barrier, answers: Any) -> None:
    """Receive and discard."""
    barrier.wait()
    steps = [Step(time.monotonic(), 0)]
    done = 0
    for messages in _stream(feed):
        done += sum(1 for each in messages if isinstance(each, bytes) and each[0] in _CHANGES)
        steps.append(Step(time.monotonic(), done))
    answers.put(("drain", steps))


def _bulk(load: Load, barrier: Barrier, answers: Any) -> None:
    barrier.wait()
    answers.put(("bulk", load_all(load)))


def load_all(load: Load) -> list[Step]:
    """Send what is ready, then make the last of it searchable."""
    waiting = iter(load.batches)
    lock = threading.Lock()
    steps = [Step(time.monotonic(), 0)]
    threads = [
        threading.Thread(target=_send, args=(load, waiting, lock, steps)) for _ in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Search(load.url).ask("POST", f"/{load.index}/_refresh")
    steps.append(Step(time.monotonic(), steps[-1].done))
    return steps


def _send(
    load: Load, waiting: Iterator[tuple[int, int, int]], lock: threading.Lock, steps: list[Step]
) -> None:
    search = Search(load.url)
    path = f"/{load.index}/_bulk?filter_path=errors,items.*.status,items.*.error"
    with open(load.file, "rb") as file:  # noqa: PTH123 - a path from another process
        while True:
            with lock:
                batch = next(waiting, None)
            if batch is None:
                return
            offset, size, documents = batch
            file.seek(offset)
            answer = search.send("POST", path, file.read(size), NDJSON)
            if not answer.startswith(b'{"errors":false') and _failed(answer):
                raise RuntimeError(f"the load failed: {answer[:500]!r}")
            with lock:
                steps.append(Step(time.monotonic(), steps[-1].done + documents))


def _failed(answer: bytes) -> bool:
    """Whether anything but a version conflict went wrong: two senders overtake each other."""
    conflict = 409
    return any(
        "error" in outcome and outcome["status"] != conflict
        for item in json.loads(answer)["items"]
        for outcome in item.values()
    )
