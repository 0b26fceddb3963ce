"""Rows that are read while others write, put together with the stream by the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from cdc_daemon.backfill.window import LoadedChunk, Window
from cdc_daemon.events import Change, Commit, Watermark
from tests.conformance.follower import decoded
from tests.generators.existing_rows import existing_chunks

if TYPE_CHECKING:
    from cdc_daemon.events import Position
    from tests.conformance.follower import Follower
    from tests.conformance.upstream import Rows


class Meeting:
    """Rows that are read while others write, put together with the stream by the window."""

    def __init__(self, follower: Follower) -> None:
        self._source = follower.source
        relation = follower.relation
        follower.source.prepare(follower.relations)
        place = follower.source.create_place()
        self.window = Window(1)
        for read in existing_chunks(follower.source, relation):
            rows: dict[bytes, bytes | None] = {
                decoded(row)[0].encode(): orjson.dumps(decoded(row)[1]) for row in read.rows
            }
            self.window.arrived(
                LoadedChunk(1, read.chunk, None, read.seen, read.reached, {"t": rows}, 0)
            )
        self.rows: Rows = {}
        self._open: list[Change] = []
        follower.source.start(follower.relations, place)

    def read_once(self) -> None:
        """One `read`, applied, and what may be released then."""
        for event in self._source.read(0.2):
            if isinstance(event, Change):
                self._open.append(event)
            elif isinstance(event, Commit | Watermark):
                if isinstance(event, Commit):
                    self._commit(event)
                self._release(event.position)

    def _commit(self, commit: Commit) -> None:
        touched: Rows = {}
        for change in self._open:
            touched |= {decoded(row)[0]: None for row in (change.old,) if row is not None}
            touched |= dict(decoded(row) for row in (change.new,) if row is not None)
            gone = change.old if change.new is None else None
            for row in (gone,) if gone is not None else ():
                self.rows.pop(decoded(row)[0], None)
            self.rows |= dict(decoded(row) for row in (change.new,) if row is not None)
        self._open = []
        if transaction := self.window.transaction(commit.xid, commit.position):
            list(transaction.touching("t", ((key.encode(), None) for key in touched)))

    def _release(self, received: Position) -> None:
        while (chunk := self.window.ready(received)) is not None:
            self.window.released(chunk)
            documents = chunk.contents["t"].items()
            self.rows |= {key.decode(): orjson.loads(value or b"null") for key, value in documents}
