"""The source that applications post to keeps the contract of every source.

It has no other system behind it: no rows from before, no place that outlives the process, no
connection that could break. What it does instead is said here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.errors import QueueFullError, RetryError
from cdc_daemon.events import Change, Position, Relation
from cdc_daemon.posted.body import Bodies
from cdc_daemon.posted.documents import key_of
from cdc_daemon.posted.rows import Expected
from connectors.http import HttpSource
from connectors.http.config import HttpConfig
from tests.conformance.follower import Follower, decoded, follower  # noqa: F401 - a fixture too
from tests.conformance.source_suite import SourceSuite
from tests.conformance.upstream import Delete, Insert, Truncate, Update, Write

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLE = "public.item"
TABLES = {TABLE: {"key": ["id"], "columns": {"id": "text", "note": "text", "n": "int"}}}


class Watched(HttpSource):
    """It tells what it was started with: changes carry these relations."""

    relations: Sequence[Relation] = ()

    def start(self, relations: Sequence[Relation], after: Position, **terms: Any) -> None:
        """Note them."""
        self.relations = relations
        super().start(relations, after, **terms)


class HttpUpstream:
    """An application that posts; the newest source takes it."""

    table = TABLE

    def __init__(self, queue: str = "32MB") -> None:
        self._config = HttpConfig.model_validate({"type": "http", "tables": TABLES, "queue": queue})
        self._sources: list[Watched] = []
        self._last: Position | None = None

    def source(self) -> Watched:
        """One process."""
        self._sources.append(Watched(self._config, pipeline="conformance"))
        return self._sources[-1]

    def commit(self, *writes: Write) -> None:
        """One transaction, as its request has it."""
        changes = [_posted(write) for write in writes]
        body = json.dumps({"transactions": [{"changes": changes}]}).encode()
        for source in self._sources:
            tables = {relation.qualified_name: relation for relation in source.relations}
            keys = {name: key_of(relation) for name, relation in tables.items()}
            reads = Bodies(
                Expected(tables, keys, truncates=True),
                versioned=False,
                most_changes=10_000,
                longest_seconds=60,
            )
            if tables:
                post = reads.read(body)
                self._last = source.give([one.changes for one in post.transactions])[-1]

    def roll_back(self, *writes: Write) -> None:
        """An application that rolls back posts nothing."""

    def token(self) -> str:
        """What the answer says."""
        source = self._sources[-1]
        assert self._last is not None
        return f"{source.identity()}:{source.show(self._last)}"

    def disconnect(self) -> None:
        """There is no connection."""


def _posted(write: Write) -> dict[str, Any]:
    match write:
        case Insert(key, note):
            return {"table": TABLE, "op": "upsert", "row": _row(key, note)}
        case Update(key, note, new):
            moved = {} if new is None else {"key": {"id": key}}
            return {"table": TABLE, "op": "upsert", "row": _row(new or key, note), **moved}
        case Delete(key):
            return {"table": TABLE, "op": "delete", "key": {"id": key}}
        case Truncate():
            return {"table": TABLE, "op": "truncate"}


def _row(key: str, note: str | None) -> dict[str, Any]:
    return {"id": key, "note": note}


@pytest.fixture
def upstream() -> HttpUpstream:
    """An application."""
    return HttpUpstream()


class TestHttp(SourceSuite):
    """The suite of every source, and what this one does for want of a system behind it."""

    knows_inserts = says_what_is_kept = False

    def test_has_no_rows(self, upstream: HttpUpstream, follower: Follower) -> None:  # noqa: F811 - the fixture
        """A table is empty to a load, whatever was posted."""
        follower.load()
        assert follower.rows == {}
        upstream.commit(Insert("a"))
        assert follower.source.chunk_reader().plan(follower.relation) == []

    def test_positions_lie_apart(self, upstream: HttpUpstream, follower: Follower) -> None:  # noqa: F811 - the fixture
        """A truncate needs one between those of two transactions."""
        follower.load()
        upstream.commit(Insert("a"), Insert("b"))
        upstream.commit(Update("a", "1"))
        commits = follower.follow(2)
        assert commits[0].position + 1 < commits[1].position

    def test_keeps_no_place(self, upstream: HttpUpstream, follower: Follower) -> None:  # noqa: F811 - the fixture
        """What was not durable comes again from who posts; nobody can hold what isn't there."""
        follower.load()
        assert follower.source.place() == 0
        assert upstream.source().held_by() is None

    def test_a_new_place_is_of_now(self, upstream: HttpUpstream, follower: Follower) -> None:  # noqa: F811 - the fixture
        """It is later than everything before."""
        first = follower.load()
        upstream.commit(Insert("a"))
        (commit,) = follower.follow(1)
        assert first < commit.position < follower.source.create_place()

    def test_takes_nothing_when_it_is_given_up(self, follower: Follower) -> None:  # noqa: F811 - the fixture
        """Whoever reads is told to start."""
        follower.load()
        for _ in range(2):
            follower.source.give_up_place()
        with pytest.raises(RetryError):
            follower.source.read(0)

    def test_positions_grow_from_process_to_process(
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """What comes to another one lies beyond all that came before."""
        follower.load()
        upstream.commit(Insert("a"))
        (before,) = follower.follow(1)
        follower.confirm()
        follower.source.close()
        later = HttpUpstream()
        other = Follower(later, later.source())
        other.start(before.position)
        later.commit(Insert("b"))
        (after,) = other.follow(1)
        assert after.position > before.position
        assert other.rows == {"b": None}

    def test_a_clock_that_was_set_back_gives_no_lower_positions(
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """Of a process before only a checkpoint is known, which may be older than its posts."""
        follower.load()
        upstream.commit(Insert("a"))
        (before,) = follower.follow(1)
        ahead = Position(before.position + 1_000_000 * 60)  # by a clock that was a minute ahead
        later = HttpUpstream()
        other = Follower(later, later.source())
        other.start(ahead)
        later.commit(Insert("b"))
        (after,) = other.follow(1)
        assert after.position > ahead + 1_000_000 * 60

    def test_unconfirmed_comes_again_in_its_process(
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """To whoever follows next; while nobody does, posts are refused, to be posted again."""
        with pytest.raises(RetryError):
            follower.source.give([[]])  # type: ignore[attr-defined]
        position = follower.load()
        upstream.commit(Insert("a"))
        follower.follow(1)
        follower.source.close()
        with pytest.raises(RetryError):
            upstream.commit(Insert("b"))
        follower.rows = {}
        follower.start(position)
        follower.follow(1)
        assert follower.rows == {"a": None}

    def test_what_waits_is_bounded(self) -> None:
        """More is refused until it is durable, and taken then; one post alone always is."""
        small = HttpUpstream(queue="2kB")
        one = Follower(small, small.source())
        one.load()
        small.commit(Insert("a", "x" * 5000))
        with pytest.raises(QueueFullError, match=r"source\.queue"):
            small.commit(Insert("b"))
        one.follow(1)
        one.confirm()
        small.commit(Insert("b"))
        one.follow(1)
        assert set(one.rows) == {"a", "b"}

    def test_changes_carry_the_relations_of_their_start(self, upstream: HttpUpstream) -> None:
        """Also those that came before it."""
        one = Follower(upstream, upstream.source())
        position = one.load()
        upstream.commit(Insert("a"))
        one.relations = one.source.describe([])  # of another start
        again = Follower(upstream, one.source)
        again.start(position)
        again.follow(1)
        assert all(isinstance(change, Change) for change in again.changes)
