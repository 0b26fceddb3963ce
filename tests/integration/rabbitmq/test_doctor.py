"""What `cdc-daemon check` says of queues and streams, and that it leaves them as they are."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from connectors.rabbitmq import RabbitSource
from connectors.rabbitmq.config import RabbitConfig
from tests.generators.publisher import QUORUM, STREAM, Publisher
from tests.integration.rabbitmq.conftest import HOTEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded


@pytest.fixture
def publisher(rabbitmq: embedded.RabbitServer) -> Iterator[Publisher]:
    """An application that declares what it publishes to."""
    one = Publisher(rabbitmq.url)
    yield one
    one.close()


def findings(url: str, **section: Any) -> list[tuple[str, str]]:
    """Level and message of each, but for those of the connection and the order."""
    given = {"type": "rabbitmq", "url": url, "format": "events", "tables": {"hotel": HOTEL}}
    source = RabbitSource(RabbitConfig.model_validate({**given, **section}), pipeline="checked")
    connection, *others, order = source.examine([])
    assert (connection.level, order.level, order.check) == ("ok", "ok", "order")
    return [(finding.level, finding.message) for finding in others]


def test_queues_are_looked_at(rabbitmq: embedded.RabbitServer, publisher: Publisher) -> None:
    """How they are declared, by what the server refuses; a queue that isn't there isn't made."""
    name = f"checked-{uuid.uuid4().hex[:8]}"
    publisher.declare(name, {**QUORUM, "x-delivery-limit": 5, "x-message-ttl": 60_000})
    publisher.publish(name, {"id": 1})
    found = findings(rabbitmq.url, queues=[name, f"{name}-none"])
    assert [level for level, _ in found] == ["ok", "warning", "warning", "problem"]
    assert found[0][1] == "1 messages wait, 0 consumers"
    assert "come back 5 times" in found[1][1]
    assert "60000 ms" in found[2][1]
    assert not publisher.answers(f"{name}-none")
    assert publisher.ready(name) == 1
    publisher.delete(name)


def test_who_may_not_configure_is_told_what_to_look_at(
    rabbitmq: embedded.RabbitServer, publisher: Publisher
) -> None:
    """With the least rights nobody can tell how a queue is declared."""
    name = f"checked-{uuid.uuid4().hex[:8]}"
    publisher.declare(name)
    rabbitmq.add_user(name, "secret", read=f"^{name}$")
    url = rabbitmq.url.replace("guest:guest", f"{name}:secret")
    [_, (level, message)] = findings(url, queues=[name])
    assert level == "warning"
    assert "x-single-active-consumer" in message
    table = {**HOTEL, "version": "$.revision"}
    [_, (level, _)] = findings(url, queues=[name], tables={"hotel": table})
    assert level == "ok"
    publisher.delete(name)


def test_streams_are_looked_at(rabbitmq: embedded.RabbitServer, publisher: Publisher) -> None:
    """What they have; one isn't taken for a queue."""
    name = f"checked-{uuid.uuid4().hex[:8]}"
    publisher.declare(name, STREAM)
    assert findings(rabbitmq.url, stream=name) == [("ok", "it has no messages")]
    publisher.publish(name, {"id": 1}, {"id": 2})
    [(level, message)] = findings(rabbitmq.url, stream=name)
    assert (level, "offset 0 to" in message) == ("ok", True)
    [_, (level, message)] = findings(rabbitmq.url, queues=[name])
    assert (level, "source.stream" in message) == ("problem", True)
    publisher.delete(name)
    [(level, _)] = findings(rabbitmq.url, stream=name)
    assert level == "problem"
