"""The thread that takes part in the group of replicas, and tells and hears how far all are."""

from __future__ import annotations

import threading
import time
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from cdc_daemon.errors import CdcError, RetryError
from cdc_daemon.ports import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.ports import Group, Reached, Seat, Word

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.1
"""A replica that joins or has died is noticed so soon by us, once the group has."""
EXCHANGE_SECONDS: Final = 0.2
"""How often it is told and heard how far documents are: a client that waits for one of another
replica waits so much longer."""
AWAITED_SECONDS: Final = 0.02
"""The same while commits wait for it, and something isn't searchable or told yet."""
LED_SECONDS: Final = 1.0
"""How often it is asked whether somebody leads."""
AWAY_SECONDS: Final = 1.0
"""Before a group that can't be reached is tried again."""
SLOW_SECONDS: Final = 20.0
"""The first question that a cluster gets of any group may take as long where it is busy."""
SILENT_SECONDS: Final = 300.0
"""Who hasn't heard the group for so long, frozen or cut off, lets go of all that it holds. Others
may have deleted it, and sinks remember what was deleted for three times as long."""


class Said(NamedTuple):
    """What commits that wait get to know."""

    word: Word | None = None
    """None: nothing new is known."""
    is_mute: bool = False
    """Whether nothing will ever be known: commits aren't to wait for us."""
    is_awaited: bool = False
    """Whether any may wait."""
    is_behind: bool = False
    """Whether searches lack something that has come."""


NOTHING_SAID: Final = Said()
MUTE: Final = Said(is_mute=True)


def elapsed_seconds() -> float:
    """Of a clock that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Membership(threading.Thread):
    """Of one replica. Any thread says what is wanted, and reads what was heard."""

    def __init__(
        self,
        enter: Callable[[], Group],
        news: Callable[[], Mapping[int, Reached]],
        heard: Callable[[], None],
        failed: Callable[[BaseException], None],
        said: Callable[[], Said] = lambda: NOTHING_SAID,
    ) -> None:
        """`enter` gives the group; `news` is what is to be told; `heard` is called after each
        round; `said` is what commits that wait are told, if we lead.
        """  # noqa: D205 - one sentence
        super().__init__(name="group", daemon=True)
        self._enter = enter
        self._news = news
        self._heard = heard
        self._failed = failed
        self._saying = said
        self._said: tuple[Word | None] | None = None
        """By the seat that we have; None: nothing yet."""
        self._wish = (False, False)
        self._wished: tuple[bool, bool] | None = None
        """The wish that the group has been told of."""
        self._exchanged_at = self._asked_at = self._said_at = 0.0
        self._answered_at = -inf
        """When the group was asked what it has answered last."""
        self._answered = threading.Event()
        self._closed = threading.Event()
        self.lost: RetryError | None = None
        """Why the group can't be reached just now."""
        self._lost_at = 0.0
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
        """Wait until the group was heard of lately; whether it was."""
        if not self.is_current():
            self._answered.clear()
            self._answered.wait(seconds)
        return self.is_current()

    def wait_heard_since(self, moment: float, stopping: threading.Event) -> None:
        """Wait until the group was asked at a moment or later (`elapsed_seconds`), and has
        answered; or until a stop, or where it can't be reached.
        """  # noqa: D205 - one sentence
        until = moment + SLOW_SECONDS
        while self._answered_at < moment and elapsed_seconds() < until:
            if stopping.wait(LOOK_SECONDS):
                return

    def is_current(self) -> bool:
        """Whether the group was heard of so lately that what we had then can be written yet."""
        return elapsed_seconds() - self._answered_at <= SILENT_SECONDS

    def require_reachable(self) -> None:
        """Raise RetryError where the group can't be reached for longer than a slow one takes."""
        lost = self.lost
        if lost is not None and elapsed_seconds() - self._lost_at > SLOW_SECONDS:
            raise lost

    def close(self) -> None:
        """Leave the group, and end."""
        self._closed.set()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        """Take part until closed."""
        group = self._enter()
        try:
            while not self._closed.is_set():
                self._try_round(group)
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._failed(error)
        finally:
            group.close()

    def _try_round(self, group: Group) -> None:
        try:
            asked_at = self._round(group)
        except RetryError as error:
            if self.lost is None:
                log.warning("group_lost", reason=error.reason, error=str(error))
                self._lost_at = elapsed_seconds()
            self.lost = error
            self._closed.wait(AWAY_SECONDS)
            return
        if self.lost is not None:
            log.info("group_found")
        self.lost = None
        self._heard()
        # Only now: until then nobody may write what we have let go of.
        self._answered_at = asked_at
        self._answered.set()

    def _round(self, group: Group) -> float:
        """Do what is due; when the group was asked what it has answered."""
        wish = self._wish
        if wish != self._wished:
            leading, sharing = wish
            group.take_part(leading=leading, sharing=sharing)
            self._wished = wish
        saying = self._saying()
        self._say(group, saying)
        self._sit(group.look(AWAITED_SECONDS if saying.is_awaited else LOOK_SECONDS))
        now = elapsed_seconds()
        hurries = saying.is_awaited and saying.is_behind
        if now - self._exchanged_at < (AWAITED_SECONDS if hurries else EXCHANGE_SECONDS):
            return self._answered_at
        self._exchanged_at = now
        self._exchange(group)
        if -inf < self._answered_at < now - SILENT_SECONDS:
            self._give_up(group)
        if now - self._asked_at >= LED_SECONDS:
            self._asked_at = now
            self.is_led = self.seat.leads or group.is_led()
            self.members = group.members()
        return now

    def _give_up(self, group: Group) -> None:
        """Begin as one who has just come: nothing of what we had is ours for sure."""
        if any(self._wish):
            log.warning("seat_given_up", silent_seconds=SILENT_SECONDS)
        group.take_part(leading=False, sharing=False)
        self._wish = self._wished = (False, False)
        self._sit(NOTHING)

    def _sit(self, seat: Seat) -> None:
        if seat != self.seat:
            self.seat = seat
            self._said = None
            self.rebalances += 1
            log.info("seat", leads=seat.leads, slots=len(seat.slots))

    def _exchange(self, group: Group) -> None:
        self.told = group.told()
        news = self._news()
        if news:
            group.tell(news)
            self.told = {**self.told, **news}

    def _say(self, group: Group, saying: Said) -> None:
        """What has changed by what was heard last: at once where commits may wait for it.

        Who is mute takes back what another leader has said: otherwise it would look as if somebody
        still spoke, and commits would wait in vain.
        """
        word, now = saying.word, elapsed_seconds()
        is_due = saying.is_awaited or now - self._said_at >= EXCHANGE_SECONDS
        is_known = word is not None or saying.is_mute
        if self.seat.leads and is_due and is_known and (word,) != self._said:
            self._said_at = now
            if group.say(word):
                self._said = (word,)
