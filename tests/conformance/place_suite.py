"""What every source must do for which another system keeps a place: inherit beside `SourceSuite`.

The place outlives connections and processes, and whoever comes next goes on there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import RetryError
from tests.conformance.follower import Follower, read_until_it_fails, restart
from tests.conformance.upstream import Insert
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from tests.conformance.upstream import Upstream


class PlaceSuite:
    """What `cdc_daemon.ports.Source` says of places, sentence by sentence."""

    def test_keeps_no_place_until_it_is_loaded(self, follower: Follower) -> None:
        """Looking and preparing leave no place behind; the snapshot does."""
        assert follower.source.place() is None
        follower.source.prepare(follower.relations)
        assert follower.source.place() is None
        position = follower.load()
        place = follower.source.place()
        assert place is not None
        assert place <= position

    def test_gives_its_place_up(self, follower: Follower) -> None:
        """Also while it streams; a second time there is nothing to give up."""
        follower.load()
        for _ in range(2):
            follower.source.give_up_place()
            assert follower.source.place() is None

    def test_says_who_holds_its_place(self, upstream: Upstream, follower: Follower) -> None:
        """Nobody before anything is followed, and afterwards not."""
        other = upstream.source()
        assert other.held_by() is None
        follower.load()
        upstream.commit(Insert("1", "one"))
        follower.follow(1)
        assert other.held_by()
        follower.source.close()
        until(lambda: other.held_by() is None, 10, "the place is free")
        other.close()

    def test_goes_on_in_another_process(self, upstream: Upstream, follower: Follower) -> None:
        """What is confirmed is the place that the next source finds; nothing is lost or doubled."""
        follower.load()
        upstream.commit(Insert("a"))
        follower.follow(1)
        follower.confirm()
        follower.idle(0.2)
        received = follower.commits[-1].position
        follower.source.close()
        upstream.commit(Insert("b"))
        source = upstream.source()
        place = source.place()
        assert place is not None
        assert place >= received
        after = Follower(upstream, source)
        after.rows = dict(follower.rows)
        source.prepare(after.relations)
        after.start(place)
        after.follow(1)
        assert after.rows == {"a": None, "b": None}
        source.close()

    def test_unconfirmed_comes_again(self, upstream: Upstream, follower: Follower) -> None:
        """A source that dies before it confirmed leaves everything to the next one."""
        position = follower.load()
        upstream.commit(Insert("a"))
        follower.follow(1)
        follower.source.close()
        source = upstream.source()
        again = Follower(upstream, source)
        again.start(position)
        again.follow(1)
        assert again.rows == {"a": None}
        source.close()

    def test_a_lost_connection_is_retried(self, upstream: Upstream, follower: Follower) -> None:
        """A cut connection is a RetryError, and a start afterwards goes on."""
        follower.load()
        for round_ in range(3):
            upstream.commit(Insert(str(round_)))
            follower.follow(1)
            upstream.disconnect()
            with pytest.raises(RetryError):
                read_until_it_fails(follower)
            upstream.commit(Insert(f"{round_} while away"))
            restart(follower)
            follower.follow(1)
        assert len(follower.rows) == 6
