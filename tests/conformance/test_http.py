"""The source that applications post to keeps the contract of every source, but for what it keeps.

It has no other system behind it: no rows from before, no place, no connection that could break, and
what isn't confirmed ends with its process. Tests of these are said anew here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.errors import QueueFullError, RetryError
from cdc_daemon.events import Change, ChangeKind, Position, Relation
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
    """The suite; what it says of another system is said anew."""

    def test_clock_runs_with_the_source(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """It is ours; the position covers what was posted before; nothing is kept for us."""
        follower.load()
        clock = follower.source.clock()
        before = clock.sample()
        upstream.commit(Insert("a"))
        follower.follow(1)
        after = clock.sample()
        assert before.position < follower.commits[-1].position <= after.position
        assert 0 < after.source_time - before.source_time < 60
        assert clock.slot_health() is None

    def test_keeps_no_place_until_it_is_loaded(self, follower: Follower) -> None:  # noqa: F811 - the fixture
        """It keeps none at all: everything that was not durable comes again, from who posts."""
        follower.load()
        assert follower.source.place() == 0

    def test_gives_its_place_up(self, follower: Follower) -> None:  # noqa: F811 - the fixture
        """Then it takes nothing more."""
        follower.load()
        for _ in range(2):
            follower.source.give_up_place()
        with pytest.raises(RetryError):
            follower.source.read(0)

    def test_says_who_holds_its_place(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """Nobody can: whoever runs is posted to."""
        follower.load()
        assert upstream.source().held_by() is None

    def test_loads_what_is_there_and_follows_what_comes(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """Nothing is there; what comes is followed, in order of arrival."""
        follower.load()
        assert follower.rows == {}
        upstream.commit(Insert("new", None), Insert("1", "one"))
        upstream.commit(Update("1", "two", new_id="one"))
        commits = follower.follow(2)
        assert follower.rows == {"new": None, "one": "two"}
        assert commits[0].position + 1 < commits[1].position, "a truncate needs one between"

    def test_tells_the_old_key_only_where_it_changed(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """What is posted is an upsert or a delete: a new row is one, too."""
        follower.load()
        upstream.commit(Insert("a", "1"))
        upstream.commit(Update("a", "3", new_id="b"), Delete("b"))
        follower.follow(2)
        kinds = [change.kind for change in follower.changes]
        assert kinds == [ChangeKind.UPDATE, ChangeKind.UPDATE, ChangeKind.DELETE]
        assert [decoded(one.old)[0] for one in follower.changes if one.old] == ["a", "b"]

    def test_truncates(self, upstream: HttpUpstream, follower: Follower) -> None:  # type: ignore[override]  # noqa: F811 - the fixture
        """All rows go at once; what the same transaction writes afterwards stays."""
        follower.load()
        upstream.commit(Insert("before"), Truncate(), Insert("after"))
        follower.follow(1)
        assert follower.rows == {"after": None}

    def test_swaps_keys_within_a_transaction(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """Two rows that change places come out right."""
        follower.load()
        upstream.commit(Insert("a", "A"), Insert("b", "B"))
        upstream.commit(
            Update("a", "A", new_id="x"), Update("b", "B", new_id="a"), Update("x", "A", new_id="b")
        )
        follower.follow(2)
        assert follower.rows == {"a": "B", "b": "A"}

    def test_goes_on_in_another_process(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """What comes there lies beyond all that came before."""
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

    def test_unconfirmed_comes_again(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """To whoever follows next in this process; in another one it is posted again."""
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

    def test_a_lost_connection_is_retried(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """There is none; what is posted before it is followed is refused, to be posted again."""
        with pytest.raises(RetryError):
            follower.source.give([[]])  # type: ignore[attr-defined]
        follower.load()
        upstream.commit(Insert("a"))
        follower.follow(1)

    def test_chunks_meet_the_stream(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """A table is empty to a load, whatever was posted."""
        follower.load()
        upstream.commit(Insert("a"))
        assert follower.source.chunk_reader().plan(follower.relation) == []

    def test_loading_anew_gives_up_the_old_place(  # type: ignore[override]
        self,
        upstream: HttpUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """A place is of now: later than everything before."""
        first = follower.load()
        upstream.commit(Insert("a"))
        (commit,) = follower.follow(1)
        assert first < commit.position < follower.source.create_place()

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
