"""What of the source `rabbitmq` needs no server: its section, routing, transactions, positions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    IncompatibleProtocolError,
    ProbableAuthenticationError,
)
from pydantic import ValidationError

from cdc_daemon.errors import CdcError, RetryError, SourceError
from cdc_daemon.events import Commit, Position
from connectors.messages.falls import FAR_BYTES
from connectors.messages.tables import configured_relations
from connectors.rabbitmq.arrivals import Arrivals
from connectors.rabbitmq.config import RabbitConfig
from connectors.rabbitmq.declared import Declared
from connectors.rabbitmq.deliveries import Arrived, Delivery
from connectors.rabbitmq.doctor import order, warnings
from connectors.rabbitmq.offsets import BEGINNING, offset_at, position_before, position_of
from connectors.rabbitmq.routing import Routing, matches
from connectors.rabbitmq.session import mapped_errors
from connectors.rabbitmq.transactions import Transactions

if TYPE_CHECKING:
    from cdc_daemon.events import Event

HOTEL = {"key": ["id"], "columns": {"id": "bigint", "name": "text"}}
SECTION: dict[str, Any] = {
    "type": "rabbitmq",
    "url": "amqp://daemon:secret@shop.example:5673/orders%2Flive",
    "queues": ["hotels"],
    "format": "events",
    "tables": {"hotel": HOTEL},
}
GOOD: dict[str, Any] = {"x-queue-type": "quorum", "x-single-active-consumer": True}
"""How a queue is best declared."""


def config(**changed: Any) -> RabbitConfig:
    """The section, but for what is changed; None: without it."""
    section = {key: value for key, value in {**SECTION, **changed}.items() if value is not None}
    return RabbitConfig.model_validate(section)


def delivery(body: object, key: str = "hotel", **parts: Any) -> Delivery:
    """A message."""
    given = {"tag": 1, "queue": "hotels", "headers": {}, "redelivered": False, "arrived_at": 7.0}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(routing_key=key, body=content, **{**given, **parts})


def routing(**changed: Any) -> Routing:
    """All tables are read."""
    section = config(**changed)
    return Routing(section, list(configured_relations(section.message_tables).values()))


def test_an_address_is_shown_without_its_password() -> None:
    """People see where it is, in errors and in the configuration."""
    shown = config()
    assert shown.address == "shop.example:5673, virtual host orders/live"
    assert "secret" not in shown.model_dump_json() + repr(shown)
    assert config(url="amqps://shop.example").address == "shop.example:5671, virtual host /"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": "http://shop.example"}, "amqp://user:password@localhost"),
        ({"url": "amqp://shop.example/a/b"}, "%2F"),
        ({"url": "amqp://shop.example/?heartbeat=5"}, "amqp://user:password@localhost"),
        ({"queues": None}, "either `queues` or `stream`"),
        ({"stream": "all"}, "either `queues` or `stream`"),
        ({"queues": ["a", "a"]}, "each of them once"),
        ({"start": "latest"}, "`start` is of a stream"),
        ({"tls": {}}, "amqps://"),
        ({"url": "amqps://a", "tls": {"client_key": "k.pem"}}, "`client_key` needs `client_cert`"),
        ({"tables": {"hotel": HOTEL, "room": HOTEL}}, "needs `routing_keys`"),
        ({"prefetch": 70_000}, "65535"),
    ],
)
def test_a_mistake_is_told(changed: dict[str, Any], said: str) -> None:
    """Before anything is touched."""
    with pytest.raises(ValidationError, match=said):
        config(**changed)


def test_the_order_of_arrival_counts_where_nothing_else_does() -> None:
    """Of Debezium's messages the place in the log does, in a queue; in a stream, the offset."""
    assert config().by_arrival
    assert not config(format="debezium").by_arrival
    assert not config(tables={"hotel": {**HOTEL, "version": "$.revision"}}).by_arrival
    streamed = config(format="debezium", queues=None, stream="all").message_tables
    assert streamed["public.hotel"].version == "arrival"


@pytest.mark.parametrize(
    ("pattern", "key", "is_one"),
    [
        ("hotel.changed", "hotel.changed", True),
        ("hotel.*", "hotel.changed", True),
        ("hotel.*", "hotel", False),
        ("hotel.*", "hotel.changed.twice", False),
        ("hotel.#", "hotel", True),
        ("hotel.#", "hotel.changed.twice", True),
        ("#.changed", "a.b.changed", True),
        ("#", "", True),
        ("a.#.z", "a.z", True),
    ],
)
def test_routing_keys_match_as_those_of_a_topic_exchange(
    pattern: str,
    key: str,
    is_one: bool,  # noqa: FBT001 - a case of the table
) -> None:
    """`*` is one word, `#` any number of them."""
    assert matches(key.split("."), pattern.split(".")) is is_one


def test_a_message_goes_to_the_table_of_its_routing_key() -> None:
    """One that is of no table is passed over, and named once."""
    tables = {
        "hotel": {**HOTEL, "routing_keys": ["hotel.*"]},
        "room": {**HOTEL, "routing_keys": ["room.*"]},
    }
    reads = routing(tables=tables)
    [room] = reads.read(delivery({"id": 1, "name": "x"}, "room.made")).changes
    assert (room.relation.qualified_name, room.new) == ("public.room", [b"1", b'"x"'])
    for _ in range(2):
        assert not reads.read(delivery({}, "guest.made")).changes
    assert (reads.take_passed_over(), reads.take_passed_over()) == (["guest.made"], [])


def test_messages_of_debezium_say_their_table_themselves() -> None:
    """Those of others are passed over in silence; what isn't understood is a dead letter."""
    reads = routing(format="debezium")
    for table, changes in (("hotel", 1), ("guest", 0)):
        source = {"schema": "public", "table": table, "lsn": 9}
        said = reads.read(delivery({"op": "c", "after": {"id": 1, "name": "x"}, "source": source}))
        assert (len(said.changes), said.version) == (changes, 9 * changes)
    assert reads.read(delivery(b"no json")).poison == "no_json"


@pytest.mark.parametrize(
    ("consumed", "poison"),
    [
        ({"queues": ["a"]}, ""),
        ({"queues": None, "stream": "all"}, ""),
        ({"queues": ["a", "b"]}, "truncate_unordered"),
    ],
)
def test_a_truncate_is_taken_where_messages_come_in_one_order(
    consumed: dict[str, Any], poison: str
) -> None:
    """By another queue rows may come later that were there before it: they would stay."""
    envelope = {"op": "t", "source": {"schema": "public", "table": "hotel", "lsn": 9}}
    said = routing(format="debezium", **consumed).read(delivery(envelope))
    assert (said.poison, said.version) == (poison, 0 if poison or "stream" in consumed else 9)


def test_another_server_behind_the_connector_is_told() -> None:
    """Once of each queue, each of which may have a server of its own; every message counts."""
    reads = routing(format="debezium", queues=["hotels", "others"])
    for number, (queue, lsn) in enumerate(
        [("hotels", 9 * FAR_BYTES), ("others", 5), ("hotels", 6), ("hotels", 7), ("others", 8)]
    ):
        source = {"schema": "public", "table": "hotel", "lsn": lsn, "ts_ms": 1000 + number}
        envelope = {"op": "c", "after": {"id": 1, "name": "x"}, "source": source}
        reads.read(delivery(envelope, queue=queue))
    assert reads.take_fallen() == [("hotels", 6, 9 * FAR_BYTES)]
    assert (reads.take_fallen(), reads.fallen) == ([], 2)


def test_what_only_converges_is_said() -> None:
    """Each message is shown by itself; what several queues lack is said besides."""
    for queues, says in ((["a"], False), (["a", "b"], True)):
        found = order(config(queues=queues))
        assert (found.level, "a TRUNCATE becomes a dead letter" in found.message) == ("ok", says)
        assert "What rows show together converges" in found.message


def events(*arrived: Arrived, returning: tuple[str, ...] = ("hotels",)) -> list[list[Event]]:
    """What each makes of it, and then their end."""
    transactions = Transactions(routing(), returning)
    made = [list(transactions.add(one)) for one in arrived]
    return [*made, list(transactions.end())]


def arrived(position: int, **parts: Any) -> Arrived:
    """A message."""
    return Arrived(Position(position), delivery({"id": position}, **parts))


def commits(made: list[list[Event]]) -> list[list[int]]:
    """Positions of the transactions that have ended with each message."""
    return [[one.position for one in some if isinstance(one, Commit)] for some in made]


def test_what_comes_again_is_one_transaction() -> None:
    """Up to the first message that hasn't come before; each of the others is one of its own."""
    again = [arrived(n, redelivered=True) for n in (8, 16)]
    assert commits(events(*again, arrived(24), arrived(32))) == [[], [], [24], [32], []]
    assert commits(events(*again)) == [[], [], [16]]
    assert commits(events(arrived(8))) == [[8], []]


def test_what_comes_again_of_one_queue_waits_for_that_of_others() -> None:
    """Until of each queue something has come that is new."""
    mixed = [arrived(8), arrived(16, redelivered=True, queue="rooms"), arrived(24, queue="rooms")]
    assert commits(events(*mixed, returning=("hotels", "rooms"))) == [[], [], [24], []]


def test_what_brings_its_version_stands_alone() -> None:
    """Its documents have that version, whatever comes again beside it."""
    versioned = routing(tables={"hotel": {**HOTEL, "version": "$.revision"}})
    transactions = Transactions(versioned, ("hotels",))
    for n in (8, 16):
        body = {"id": 1, "name": "x", "revision": n * 10}
        message = Arrived(Position(n), delivery(body, redelivered=True))
        [_, commit] = transactions.add(message)
        assert isinstance(commit, Commit)
        assert (commit.position, commit.version) == (n, n * 10)
    assert not transactions.is_open


def test_positions_of_a_stream_are_its_offsets() -> None:
    """Of each offset there is one position, and back; between two is room for a truncate."""
    assert [offset_at(position_of(n)) for n in range(3)] == [0, 1, 2]
    assert position_of(6) == position_before(7)
    assert position_of(7) - position_of(6) > 1
    assert (offset_at(BEGINNING), offset_at(position_before(0))) == (-1, -1)


def test_waiting_messages_have_the_positions_that_they_will_get() -> None:
    """So it is known when they have come; where a queue has dropped some, it isn't waited for."""
    arrivals = Arrivals()
    arrivals.go_beyond(Position(1_000))
    expected = arrivals.expect(2)
    assert [arrivals.number() for _ in range(2)][-1] == expected == arrivals.last
    lost = arrivals.expect(5)
    assert arrivals.expect(0) == arrivals.last == lost


def test_how_a_queue_is_declared_is_told_by_refusals() -> None:
    """Each names one difference; one that isn't understood ends it."""
    said = "PRECONDITION_FAILED - inequivalent arg '{}' for queue 'q' in vhost '/': received {}"
    declared: Declared | None = Declared()
    for name, difference in (
        ("durable", "'true' but current is 'false'"),
        ("x-queue-type", "'quorum' but current is 'stream'"),
        ("x-delivery-limit", "none but current is the value '5' of type 'signedint'"),
        ("x-single-active-consumer", "none but current is the value 'true' of type 'bool'"),
        ("x-queue-type", "the value 'stream' of type 'longstr' but current is none"),
    ):
        assert declared is not None
        declared = declared.corrected(said.format(name, difference))
    expected = {"x-delivery-limit": 5, "x-single-active-consumer": True}
    assert declared == Declared(durable=False, arguments=expected)
    assert Declared().corrected("ACCESS_REFUSED - configure access refused") is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (GOOD, []),
        ({"x-queue-type": "quorum"}, ["x-single-active-consumer"]),
        ({"x-single-active-consumer": True}, ["classic"]),
        (GOOD | {"x-delivery-limit": 20}, ["come back 20 times"]),
        (GOOD | {"x-message-ttl": 60_000, "x-max-length": 5}, ["60000 ms", "x-overflow"]),
        (GOOD | {"x-message-ttl": 60_000, "x-dead-letter-exchange": "dead"}, []),
    ],
)
def test_what_a_queue_would_lose_is_warned_of(arguments: dict[str, Any], said: list[str]) -> None:
    """By what it is declared with."""
    found = list(warnings(Declared(arguments=arguments), by_arrival=True))
    assert len(found) == len(said)
    assert all(part in warning for part, warning in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("error", "becomes", "said"),
    [
        (ChannelClosedByBroker(404, "NOT_FOUND - no queue 'a'"), SourceError, "Declare it"),
        (
            ChannelClosedByBroker(
                404, "NOT_FOUND - home node of queue 'a' is down or inaccessible"
            ),
            RetryError,
            "down",
        ),
        (ChannelClosedByBroker(403, "ACCESS_REFUSED - read access"), SourceError, "rabbitmqctl"),
        (
            ChannelClosedByBroker(406, "PRECONDITION_FAILED - delivery acknowledgement timed out"),
            RetryError,
            "timed out",
        ),
        (ConnectionClosedByBroker(320, "CONNECTION_FORCED - shutdown"), RetryError, "shutdown"),
        (
            ConnectionClosedByBroker(530, "NOT_ALLOWED - vhost a not found"),
            SourceError,
            "source.url",
        ),
        (ProbableAuthenticationError("(403) 'ACCESS_REFUSED'"), SourceError, "user and password"),
        (ProbableAuthenticationError("StreamLostError"), RetryError, "StreamLost"),
        (IncompatibleProtocolError("StreamLostError"), RetryError, "StreamLost"),
        (AMQPConnectionError(), RetryError, "nothing answers there"),
        (OSError("Name or service not known"), RetryError, "not known"),
    ],
)
def test_only_what_waiting_does_not_mend_stops(
    error: Exception, becomes: type[CdcError], said: str
) -> None:
    """Refusals do; a node that is away, a consumer that was given up, a restart don't."""
    with pytest.raises(becomes, match=said), mapped_errors("consume a", "shop:5672"):
        raise error
