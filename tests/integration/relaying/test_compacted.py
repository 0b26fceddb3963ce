"""Topics that are compacted: they take no message without a key, as a TRUNCATE makes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.generators.forked import command
from tests.generators.running_daemon import PATIENCE

if TYPE_CHECKING:
    import psycopg

    from tests.integration.relaying.conftest import StartRelay

WAIT_SECONDS = 60


def test_a_truncate_that_a_topic_refuses_is_said_and_can_be_left_out(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """`check` has it beforehand; the daemon stops at it, and doesn't try for ever."""
    relay = start_relay({"topic_settings": {"cleanup.policy": "compact"}}, start=False)
    daemon, file = relay.daemon, relay.daemon.file
    assert "Set `sink.truncates: false`" in command("check", str(file)).stdout
    daemon.start()
    daemon.wait_until()
    hotels.execute("insert into hotel values (1, 'before')")
    daemon.catch_up()
    assert "Set `sink.truncates: false`" in command("check", str(file)).stdout
    hotels.execute("truncate hotel")
    hotels.execute("insert into hotel values (2, 'after')")
    assert daemon.wait(PATIENCE * WAIT_SECONDS) == 4
    assert "a topic refuses a message" in daemon.tail()
    configuration = json.loads(file.read_text())
    configuration["sink"]["truncates"] = False
    file.write_text(json.dumps(configuration))
    assert "sink.truncates" not in command("check", str(file)).stdout
    daemon.start()
    daemon.wait_until()
    daemon.catch_up()
    assert [(one["op"], one["after"]["id"]) for one in relay.events("public.hotel")] == [
        ("c", 1),
        ("c", 2),
    ]
