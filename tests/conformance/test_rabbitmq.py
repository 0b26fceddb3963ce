"""Queues and streams of RabbitMQ keep the contract of every source.

Each message is a transaction of its own: what the suites write in one comes in several, so what
they say of such is said anew here.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from cdc_daemon.errors import RetryError, SlotInUseError, StartAgainError
from cdc_daemon.events import NOWHERE, Position
from connectors.rabbitmq import RabbitSource
from connectors.rabbitmq.config import RabbitConfig
from tests.conformance.follower import Follower, decoded, follower, restart  # noqa: F401 - a fixture too
from tests.conformance.place_suite import PlaceSuite
from tests.conformance.source_suite import SourceSuite
from tests.conformance.upstream import Delete, Insert, Truncate, Update, Write
from tests.generators.publisher import QUORUM, STREAM, Publisher
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded

TABLE = "public.item"
TABLES = {
    TABLE: {
        "key": ["id"],
        "columns": {"id": "text", "note": "text", "n": "int"},
        "version": "arrival",
    }
}
FORGET_CONNECTIONS = (
    '[rabbit_networking:close_connection(Pid, "by a test") '
    "|| Pid <- rabbit_networking:connections()], ok"
)


class RabbitUpstream:
    """An application that publishes Debezium's envelopes: the one format that has truncates."""

    table = TABLE

    def __init__(self, server: embedded.RabbitServer, consumes: str) -> None:
        self.name = f"conformance.{uuid.uuid4().hex[:8]}"
        self._server = server
        named = [self.name] if consumes == "queues" else self.name
        self._section = {"type": "rabbitmq", "url": server.url, "tables": TABLES, consumes: named}
        self._sources: list[RabbitSource] = []
        self.publisher = Publisher(server.url)
        self.publisher.declare(self.name, QUORUM if consumes == "queues" else STREAM)

    def source(self, **changed: Any) -> RabbitSource:
        """One process, with parts of its section changed."""
        config = RabbitConfig.model_validate({**self._section, **changed})
        self._sources.append(RabbitSource(config, pipeline=self.name))
        return self._sources[-1]

    def commit(self, *writes: Write) -> None:
        """A message for each, or two where a key changes."""
        for write in writes:
            self.publisher.publish(self.name, *_envelopes(write))

    def roll_back(self, *writes: Write) -> None:
        """An application that rolls back publishes nothing."""

    def token(self) -> str:
        """Where the newest message will be, as the source's clock sees it."""
        source = self._sources[-1]
        clock = source.clock()
        position = clock.sample().position
        clock.close()
        return f"{source.identity()}:{source.show(position)}"

    def disconnect(self) -> None:
        """The server closes them."""
        self._server._evaluate(FORGET_CONNECTIONS)

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """For a while the server gives consumers up after a second, whose channels begin now."""
        setting = "application:set_env(rabbit, consumer_timeout, {}), "
        setting += "application:set_env(rabbit, channel_tick_interval, {}), ok"
        self._server._evaluate(setting.format(1_000, 500))
        try:
            yield
        finally:
            self._server._evaluate(setting.format(30 * 60_000, 60_000))

    def close(self) -> None:
        """Nothing is left."""
        for source in self._sources:
            source.close()
        self.publisher.delete(self.name)
        self.publisher.close()


def _envelopes(write: Write) -> list[dict[str, Any]]:
    match write:
        case Insert(key, note):
            return [_written(key, note)]
        case Update(key, note, new):
            gone = [] if new is None else _envelopes(Delete(key))
            return [*gone, _written(new or key, note)]
        case Delete(key):
            return [_envelope("d", before={"id": key})]
        case Truncate():
            return [_envelope("t")]


def _written(key: str, note: str | None) -> dict[str, Any]:
    return _envelope("u", after={"id": key, "note": note})


def _envelope(operation: str, **rows: Any) -> dict[str, Any]:
    source = {"schema": "public", "table": "item", "lsn": 1}
    return {"op": operation, "before": None, "after": None, "source": source, **rows}


class MessagesSuite(SourceSuite):
    """The suite, where each message is a transaction."""

    consumes: ClassVar[str]
    """`queues` or `stream`."""
    knows_inserts = says_what_is_kept = False

    def test_tells_the_old_key_only_where_it_changed(
        self,
        upstream: RabbitUpstream,  # type: ignore[override]
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """A key change is a row that is gone, and another one."""
        follower.load()
        upstream.commit(Insert("a", "1"), Update("a", "3", new_id="b"))
        follower.follow(3)
        assert [change.old is None for change in follower.changes] == [True, False, True]
        assert follower.rows == {"b": "3"}

    def test_says_what_was_read_and_what_waits(
        self,
        upstream: RabbitUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """How many messages, which of them weren't understood, and how many are still there."""
        follower.load()
        upstream.publisher.publish(upstream.name, b"no json")
        upstream.commit(Insert("a"), Insert("b"))
        source, clock = follower.source, follower.source.clock()
        assert isinstance(source, RabbitSource)
        until(lambda: (source.read(0.1), source.message_report().messages)[1] == 3, 20, "all come")
        clock.sample()
        report = source.message_report()
        assert (report.messages, report.poison) == (3, 1)
        assert [part[:2] for part in report.parts] == [(upstream.name, 0)]
        clock.close()

    def test_truncates(self, upstream: RabbitUpstream, follower: Follower) -> None:  # type: ignore[override]  # noqa: F811 - the fixture
        """All rows go at once; what comes afterwards stays."""
        follower.load()
        upstream.commit(Insert("a"), Insert("b"), Truncate(), Insert("after"))
        commits = follower.follow(4)
        assert follower.rows == {"after": None}
        assert commits[0].position + 1 < commits[1].position, "a truncate needs one between"

    def test_swaps_keys_within_a_transaction(
        self,
        upstream: RabbitUpstream,  # type: ignore[override]
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """Two rows that change places come out right."""
        follower.load()
        upstream.commit(Insert("a", "A"), Insert("b", "B"))
        upstream.commit(
            Update("a", "A", new_id="x"), Update("b", "B", new_id="a"), Update("x", "A", new_id="b")
        )
        follower.follow(8)
        assert follower.rows == {"a": "B", "b": "A"}


@pytest.fixture
def upstream(
    request: pytest.FixtureRequest, rabbitmq: embedded.RabbitServer
) -> Iterator[RabbitUpstream]:
    """A queue, or a stream, as the class of tests says."""
    one = RabbitUpstream(rabbitmq, request.cls.consumes)
    yield one
    one.close()


class TestQueue(MessagesSuite):
    """What isn't acknowledged comes again, later than all before."""

    consumes = "queues"
    keeps_log = False

    test_a_lost_connection_is_retried = PlaceSuite.test_a_lost_connection_is_retried
    test_says_who_holds_its_place = PlaceSuite.test_says_who_holds_its_place
    test_unconfirmed_comes_again = PlaceSuite.test_unconfirmed_comes_again

    def test_never_sends_what_it_is_started_after(
        self,
        upstream: RabbitUpstream,  # type: ignore[override]
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """What is confirmed has gone; all the rest comes again, in order, as one transaction."""
        follower.load()
        upstream.commit(*(Update("a", str(n)) for n in range(5)))
        second = follower.follow(5)[1].position
        follower.source.confirm(received=second, durable=second, searchable=second)
        follower.changes = []
        follower.start(second)
        [commit] = follower.follow(1)
        assert [decoded(change.new or []) for change in follower.changes] == [
            ("a", str(n)) for n in (2, 3, 4)
        ]
        upstream.commit(Update("a", "5"))
        [after] = follower.follow(1)
        assert second < commit.position < after.position

    def test_positions_grow_from_process_to_process(
        self,
        upstream: RabbitUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """What comes to another one lies beyond all that came before, and is only what is left."""
        follower.load()
        upstream.commit(Insert("a"))
        (before,) = follower.follow(1)
        follower.confirm()
        follower.source.close()
        upstream.commit(Insert("b"))
        other = Follower(upstream, upstream.source())
        assert other.source.place() == NOWHERE
        other.start(Position(before.position - 1000))  # as an older checkpoint has it
        (after,) = other.follow(1)
        assert after.position > before.position
        assert other.rows == {"b": None}

    def test_a_second_consumer_is_refused(
        self,
        upstream: RabbitUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """It would have messages that come later than newer ones."""
        position = follower.load()
        other = Follower(upstream, upstream.source(consumer_wait="0s"))
        with pytest.raises(SlotInUseError, match=upstream.name):
            other.start(position)
        follower.source.close()
        other = Follower(upstream, upstream.source())
        other.start(position)

    def test_a_consumer_that_is_given_up_begins_again(
        self,
        upstream: RabbitUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """As where nothing is acknowledged for half an hour, since the sink is away."""
        with upstream.impatient():
            follower.load()
            upstream.commit(Insert("a"))
            follower.follow(1)
            with pytest.raises(RetryError, match="timed out"):
                follower.idle(60)
        restart(follower)
        follower.follow(1)
        follower.confirm()

    def test_what_a_queue_drops_is_not_waited_for(
        self,
        upstream: RabbitUpstream,
        follower: Follower,  # noqa: F811 - the fixture
    ) -> None:
        """Messages that the clock saw, and that never come: the delay doesn't grow for ever."""
        follower.load()
        clock = follower.source.clock()
        follower.source.give_up_place()
        upstream.commit(Insert("a"), Insert("b"))
        sample = clock.sample()
        upstream.publisher.purge(upstream.name)
        follower.start(NOWHERE)
        deadline = time.monotonic() + 60
        while follower.watermark < sample.position:
            assert time.monotonic() < deadline
            clock.sample()
            follower.read_once(0.2)
        clock.close()


class TestStream(MessagesSuite):
    """It is read again from any position."""

    consumes = "stream"

    test_a_lost_connection_is_retried = PlaceSuite.test_a_lost_connection_is_retried
    test_unconfirmed_comes_again = PlaceSuite.test_unconfirmed_comes_again

    def test_begins_where_it_is_to(self, upstream: RabbitUpstream) -> None:
        """At all that it has, or at what is published from then on."""
        upstream.commit(Insert("a"), Insert("b"))
        for start, expected in (("earliest", {"a", "b", "c"}), ("latest", {"c"})):
            one = Follower(upstream, upstream.source(start=start))
            one.load()
            if start == "earliest":
                upstream.commit(Insert("c"))
                one.follow(3)
                assert set(one.rows) == expected
            else:
                upstream.commit(Insert("d"))
                one.follow(1)
                assert set(one.rows) == {"d"}

    def test_what_retention_has_taken_is_missed(self, upstream: RabbitUpstream) -> None:
        """It is noticed before anything that comes after it is taken."""
        name = f"{upstream.name}.short"
        limits = {"x-max-length-bytes": 40_000, "x-stream-max-segment-size-bytes": 10_000}
        upstream.publisher.declare(name, {**STREAM, **limits})
        one = Follower(upstream, upstream.source(stream=name))
        position = one.load()
        upstream.publisher.publish(name, *(b"x" * 2_000 for _ in range(100)))
        until(one.source.place, 30, "the first messages are gone")
        one.start(position)
        with pytest.raises(StartAgainError, match="retention"):
            one.follow(1)
        place = one.source.place()
        assert place is not None
        assert place > position
        one.source.close()
        upstream.publisher.delete(name)
