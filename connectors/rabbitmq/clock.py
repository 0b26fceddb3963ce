"""How far queues or a stream are, as their own connection sees it; the time is ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cdc_daemon.errors import CdcError
from cdc_daemon.ports import ClockSample, Standing
from connectors.rabbitmq.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Position
    from connectors.rabbitmq.config import RabbitConfig


class RabbitClock:
    """A `SourceClock`: a sample is searchable once what waited at that time is."""

    def __init__(
        self, config: RabbitConfig, name: str, reached: Callable[[Session], Position]
    ) -> None:
        self._config = config
        self._name = name
        self._reached = reached
        self._session: Session | None = None
        self._used_at = 0.0

    def sample(self) -> ClockSample:
        """Now."""
        session = self._connected()
        before = time.time()
        try:
            position = self._reached(session)
        except CdcError:
            self.close()
            raise
        after = time.time()
        return ClockSample(before, position, after - before)

    def nudge(self) -> None:
        """Nothing can be half written."""

    def reach(self, position: Position) -> Position:  # noqa: ARG002 - the port
        """Where it ends: what is there comes without being asked for."""
        return self.sample().position

    def slot_health(self) -> None:
        """Messages are kept, but nobody says how many bytes they have."""

    def standing(self) -> Standing:
        """No commit waits for us."""
        return Standing()

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _connected(self) -> Session:
        """The server ends a connection that is silent: it is asked once a second, or seldom."""
        now = time.monotonic()
        if now - self._used_at > self._config.heartbeat:
            self.close()
        self._used_at = now
        if self._session is None:
            self._session = Session(self._config, self._name)
        return self._session
