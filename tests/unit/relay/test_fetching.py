"""The thread that fetches the log: nobody waits for it once it has ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from connectors.kafka.session import KafkaSection
from connectors.relay import fetching
from connectors.relay.fetching import Fetching
from tests.generators.kafka_played import played_kafka
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.relay.fetching import Fetched


class Forgetful:
    """A topic of which nobody can say which one it is, but the first time."""

    name = "log"

    def __init__(self) -> None:
        self._asked = 0

    def identity(self) -> str:
        """Fails as nothing should."""
        self._asked += 1
        if self._asked > 1:
            raise AttributeError("nobody has thought of it")
        return "the very one"


def test_whatever_ends_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what isn't foreseen: who reads would wait for ever, and say that it streams."""
    monkeypatch.setattr(fetching, "LOOK_SECONDS", 0.0)
    wake = os.eventfd(0)
    with played_kafka() as cluster:
        cluster.make_topic("log", 1)
        section = KafkaSection(bootstrap_servers=cluster.bootstrap_servers)
        thread = Fetching(section, Forgetful(), "tests", offset=0, wake_fd=wake)  # type: ignore[arg-type]  # all of it that is asked

        def taken() -> Sequence[Fetched]:
            return thread.take()

        with pytest.raises(AttributeError, match="nobody has thought of it"):
            until(taken, 10, "it is told")
        with pytest.raises(AttributeError):
            thread.take()
        thread.stop()
    os.close(wake)
