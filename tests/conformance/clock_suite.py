"""What the clock and the tokens of every source must do: `SourceSuite` has these tests too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

import pytest

from cdc_daemon.errors import ForeignTokenError, TokenError
from cdc_daemon.events import Position
from tests.conformance.upstream import Insert

if TYPE_CHECKING:
    from tests.conformance.follower import Follower
    from tests.conformance.upstream import Upstream


class ClockSuite:
    """The contract of `cdc_daemon.ports.SourceClock` and `TokenReader`, sentence by sentence."""

    keeps_log: ClassVar[bool] = True
    """Whether the source keeps for us what isn't confirmed."""
    says_what_is_kept: ClassVar[bool] = True
    """Whether it can say how much that is."""

    def test_clock_runs_with_the_source(self, upstream: Upstream, follower: Follower) -> None:
        """Time goes on, and the position covers every commit before."""
        follower.load()
        clock = follower.source.clock()
        before = clock.sample()
        upstream.commit(Insert("a"))
        follower.follow(1)
        after = clock.sample()
        assert before.position < follower.commits[-1].position <= after.position
        assert 0 < after.source_time - before.source_time < 60
        health = clock.slot_health()
        assert (health is not None) is self.says_what_is_kept
        assert health is None or health.active
        clock.nudge()
        for _ in range(2):
            clock.close()

    def test_everything_there_is_gets_reached_while_idle(
        self, upstream: Upstream, follower: Follower
    ) -> None:
        """After a nudge the watermark passes the position that the clock saw."""
        follower.load()
        upstream.commit(Insert("a"))
        clock = follower.source.clock()
        sample = clock.sample()
        clock.nudge()
        deadline = time.monotonic() + 20
        while max(follower.watermark, *(c.position for c in follower.commits), 0) < sample.position:
            assert time.monotonic() < deadline
            follower.read_once(0.2)
            follower.confirm()
        clock.close()

    def test_a_token_is_reached_while_idle(self, upstream: Upstream, follower: Follower) -> None:
        """What was committed before it was taken has come when the stream is there; and the source
        says whether its log goes so far.
        """  # noqa: D205 - one sentence
        follower.load()
        upstream.commit(Insert("a"))
        reader = follower.source.token_reader()
        assert reader.epoch == follower.source.identity()
        position = reader.read(upstream.token())
        clock = follower.source.clock()
        end = clock.reach(position)
        assert end >= position
        assert clock.reach(Position(end + (1 << 40))) < end + (1 << 40)
        deadline = time.monotonic() + 60
        while max(follower.watermark, *(c.position for c in follower.commits), 0) < position:
            assert time.monotonic() < deadline
            follower.read_once(0.2)
            follower.confirm()
        assert follower.rows == {"a": None}
        clock.close()

    def test_a_token_of_another_history_is_refused(self, follower: Follower) -> None:
        """And what is none at all."""
        follower.load()
        reader = follower.source.token_reader()
        with pytest.raises(ForeignTokenError):
            reader.read("1/1:0/1")
        with pytest.raises(TokenError):
            reader.read("soon")
