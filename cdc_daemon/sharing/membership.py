"""The thread that takes part in the group of replicas, and tells and hears how far all are."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import CdcError, RetryError
from cdc_daemon.ports import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.ports import Group, Reached, Seat

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.1
"""A replica that joins or has died is noticed so soon by us, once the group has."""
EXCHANGE_SECONDS: Final = 0.2
"""How often it is told and heard how far documents are: a client that waits for one of another
replica waits so much longer."""
LED_SECONDS: Final = 1.0
"""How often it is asked whether somebody leads."""
AWAY_SECONDS: Final = 1.0
"""Before a group that can't be reached is tried again."""


class Membership(threading.Thread):
    """Of one replica. Any thread says what is wanted, and reads what was heard."""

    def __init__(
        self,
        group: Group,
        news: Callable[[], Mapping[int, Reached]],
        heard: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`news` is what is to be told; `heard` is called after each round."""
        super().__init__(name="group", daemon=True)
        self._group = group
        self._news = news
        self._heard = heard
        self._failed = failed
        self._wish = (False, False)
        self._wished: tuple[bool, bool] | None = None
        """The wish that the group has been told of."""
        self._exchanged_at = self._asked_at = 0.0
        self._first = threading.Event()
        self._closed = threading.Event()
        self._is_away = False
        self.seat: Seat = NOTHING
        """What we have."""
        self.told: Mapping[int, Reached] = {}
        """How far documents are, by slot."""
        self.is_led = True
        """Whether somebody leads, as far as we know."""
        self.members = 0
        """How many share the documents."""
        self.rebalances = 0
        """How often our seat has changed."""

    def take_part(self, *, leading: bool, sharing: bool) -> None:
        """Be there to lead, and to have slots; or give up what we have."""
        self._wish = (leading, sharing)

    def wait_heard(self, seconds: float) -> bool:
        """Wait until the group was heard of for the first time; whether it was."""
        return self._first.wait(seconds)

    def close(self) -> None:
        """Leave the group, and end."""
        self._closed.set()
        self.join()

    def run(self) -> None:
        """Take part until closed."""
        try:
            while not self._closed.is_set():
                self._try_round()
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._failed(error)
        finally:
            self._group.close()

    def _try_round(self) -> None:
        try:
            self._round()
        except RetryError as error:
            if not self._is_away:
                log.warning("group_lost", reason=error.reason, error=str(error))
            self._is_away = True
            self._closed.wait(AWAY_SECONDS)
            return
        if self._is_away:
            log.info("group_found")
        self._is_away = False
        self._first.set()
        self._heard()

    def _round(self) -> None:
        wish = self._wish
        if wish != self._wished:
            leading, sharing = wish
            self._group.take_part(leading=leading, sharing=sharing)
            self._wished = wish
        self._sit(self._group.look(LOOK_SECONDS))
        now = time.monotonic()
        if now - self._exchanged_at >= EXCHANGE_SECONDS:
            self._exchanged_at = now
            self._exchange()
        if now - self._asked_at >= LED_SECONDS:
            self._asked_at = now
            self.is_led = self.seat.leads or self._group.is_led()
            self.members = self._group.members()

    def _sit(self, seat: Seat) -> None:
        if seat != self.seat:
            self.seat = seat
            self.rebalances += 1
            log.info("seat", leads=seat.leads, slots=len(seat.slots))

    def _exchange(self) -> None:
        self.told = self._group.told()
        news = self._news()
        if news:
            self._group.tell(news)
            self.told = {**self.told, **news}
