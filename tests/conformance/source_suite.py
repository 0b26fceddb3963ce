"""What every source must do: inherit `SourceSuite` in a test module that defines one fixture.

What only some can is in suites of their own, to inherit besides: `PlaceSuite` where another system
keeps a place, `ChunkSuite` where rows were there before.

`upstream`: an empty system with one table of a text key `id` and a text `note`, which the test
writes to behind the source's back, and which the suite builds sources for.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, ClassVar

import pytest

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.events import NOWHERE, ChangeKind, Position
from cdc_daemon.ports import TableRequest
from cdc_daemon.shapes import difference
from tests.conformance.clock_suite import ClockSuite
from tests.conformance.follower import Follower, decoded
from tests.conformance.upstream import Delete, Insert, Truncate, Update

if TYPE_CHECKING:
    from cdc_daemon.events import Commit
    from tests.conformance.upstream import Upstream


class SourceSuite(ClockSuite):
    """The contract of `cdc_daemon.ports.Source`, sentence by sentence."""

    each_commit: ClassVar[bool] = True
    """Whether each transaction comes as one, with every change that it made. Otherwise what a read
    finds is one, and of each row it has only what has become of it."""
    renumbers: ClassVar[bool] = False
    """Whether what comes again has another, higher position."""
    moves_keys: ClassVar[bool] = True
    """Whether a row that gets another key is one change, and not the end of one and another."""
    knows_inserts: ClassVar[bool] = True
    """Whether a new row is told from one that is there. Otherwise both are updates."""

    def test_describe_gives_the_columns_asked_for(self, upstream: Upstream) -> None:
        """All columns, or those that are named, in the table's order."""
        source = upstream.source()
        whole, part = source.describe(
            [TableRequest(upstream.table), TableRequest(upstream.table, ("note",))]
        )
        assert whole.qualified_name == upstream.table
        assert [column.name for column in whole.columns][:2] == ["id", "note"]
        assert [column.name for column in part.columns] == ["note"]
        assert whole.primary_key == ("id",)
        source.close()

    def test_describe_names_everything_that_is_missing(self, upstream: Upstream) -> None:
        """Every missing table and column, with the nearest one."""
        source = upstream.source()
        with pytest.raises(SourceError, match=f"did you mean {upstream.table}"):
            source.describe([TableRequest(upstream.table + "z")])
        with pytest.raises(SourceError, match="did you mean note") as caught:
            source.describe([TableRequest(upstream.table, ("note2", "other"))])
        assert "other" in str(caught.value)
        source.close()

    def test_what_is_covered_is_what_was_committed_before(
        self, upstream: Upstream, follower: Follower
    ) -> None:
        """By its transaction, and between two positions of the stream."""
        follower.load()
        upstream.commit(Insert("before"))
        (before,) = follower.follow(1)
        coverage = follower.source.coverage()
        upstream.commit(Insert("after"))
        (after,) = follower.follow(1)
        seen = follower.source.visibility(coverage.seen)
        assert (seen.sees(before.xid), seen.sees(after.xid)) == (True, False)
        assert before.position <= coverage.floor <= coverage.end < after.position

    def test_a_shape_stays_while_rows_change(self, upstream: Upstream, follower: Follower) -> None:
        """It is read beside whatever else is done; a table that isn't there has none."""
        reader = follower.source.shape_reader()
        before = reader.read([upstream.table, upstream.table + "z"])
        upstream.commit(Insert("1"), Update("1", "x"))
        (shape,) = before.values()
        (later,) = reader.read([upstream.table]).values()
        assert difference(shape, later, follower.relation) is None
        assert set(before) == {follower.relation.qualified_name}
        assert {"id", "note"} <= shape.columns.keys()
        for _ in range(2):
            reader.close()

    def test_prepares_again_and_again(self, follower: Follower) -> None:
        """A second time it finds everything right, and every table as it was in the stream."""
        said = [follower.source.prepare(follower.relations) for _ in range(3)]
        assert said[0].keys() == {follower.relation.qualified_name}
        assert said[0] == said[1] == said[2]
        assert follower.source.memberships(follower.relations) == said[0]

    def test_identity_stays(self, upstream: Upstream, follower: Follower) -> None:
        """The history is the same for every connection."""
        other = upstream.source()
        assert follower.source.identity() == other.identity() != ""
        other.close()

    def test_shares_its_own_history_up_to_its_end(
        self, upstream: Upstream, follower: Follower
    ) -> None:
        """All that was read is in it, and nothing of it is in the history of a stranger."""
        follower.load()
        upstream.commit(Insert("1", "one"))
        (commit,) = follower.follow(1)
        mine = follower.source.identity()
        assert follower.source.shared_until(mine) >= commit.position
        assert follower.source.shared_until("1/1") == NOWHERE

    def test_tells_the_old_key_only_where_it_changed(
        self, upstream: Upstream, follower: Follower
    ) -> None:
        """A key change has the old row, a delete only the old row, others only the new one."""
        follower.load()
        upstream.commit(Insert("a", "1"))
        if not (self.each_commit and self.moves_keys):
            follower.follow(1)
            upstream.commit(Update("a", "2", new_id="b"))
            follower.follow(1)
            olds = [decoded(change.old)[0] for change in follower.changes if change.old]
            assert (olds, follower.rows) == (["a"], {"b": "2"})
            return
        upstream.commit(Update("a", "2"), Update("a", "3", new_id="b"), Delete("b"))
        follower.follow(2)
        first = ChangeKind.INSERT if self.knows_inserts else ChangeKind.UPDATE
        assert [change.kind for change in follower.changes] == [
            *(first, ChangeKind.UPDATE, ChangeKind.UPDATE, ChangeKind.DELETE),
        ]
        _, update, move, delete = follower.changes
        assert update.new is not None
        assert move.old is not None
        assert (decoded(move.old)[0], decoded(move.new or [])) == ("a", ("b", "3"))
        assert delete.new is None
        assert delete.old is not None

    def test_truncates(self, upstream: Upstream, follower: Follower) -> None:
        """All rows go at once; what the same transaction writes afterwards stays."""
        follower.load()
        upstream.commit(*(Insert(str(n)) for n in range(10)))
        follower.follow(1)
        upstream.commit(Insert("before"), Truncate(), Insert("after"))
        follower.follow(1)
        assert follower.rows == {"after": None}

    def test_swaps_keys_within_a_transaction(self, upstream: Upstream, follower: Follower) -> None:
        """Two rows that change places come out right."""
        follower.load()
        upstream.commit(Insert("a", "A"), Insert("b", "B"))
        follower.follow(1)
        upstream.commit(
            Update("a", "A", new_id="x"), Update("b", "B", new_id="a"), Update("x", "A", new_id="b")
        )
        follower.follow(1)
        assert follower.rows == {"a": "B", "b": "A"}

    def test_never_sends_what_it_is_started_after(
        self, upstream: Upstream, follower: Follower
    ) -> None:
        """Start just after a commit: that one doesn't come again, the next one does."""
        follower.load()
        commits: list[Commit] = []
        for n in range(5):
            upstream.commit(Insert(str(n)))
            commits += [] if self.each_commit else follower.follow(1)
        commits += follower.follow(5 - len(commits))
        for at in (4, 2, 0):  # nothing was confirmed, so the source still has all of it
            follower.rows = {str(n): None for n in range(at + 1)}
            follower.commits = []
            follower.start(commits[at].position)
            again = follower.follow(4 - at if self.keeps_log else min(1, 4 - at))
            if self.keeps_log and not self.renumbers:
                assert [each.position for each in again] == [c.position for c in commits[at + 1 :]]
            assert follower.rows == dict.fromkeys("01234")
            follower.idle(0.2)

    def test_reads_nothing_before_the_start(self, follower: Follower) -> None:
        """Without a stream `read` asks for a start."""
        with pytest.raises(RetryError):
            follower.source.read(0)

    def test_an_idle_read_ends_with_its_time(self, follower: Follower) -> None:
        """Empty after the timeout, and not much later."""
        follower.load()
        follower.idle(1)
        began = time.monotonic()
        follower.source.read(0.3)
        assert time.monotonic() - began < 3

    def test_wake_ends_a_read(self, follower: Follower) -> None:
        """From another thread, at once, also when it comes just before."""
        follower.load()
        follower.idle(1)
        for delay in (0.3, 0.0):
            timer = threading.Timer(delay, follower.source.wake)
            timer.start()
            if not delay:
                timer.join()
            began = time.monotonic()
            while follower.source.read(10):
                pass
            assert time.monotonic() - began < 3
            timer.join()

    def test_shows_positions(self, follower: Follower) -> None:
        """Different positions look different."""
        assert follower.source.show(Position(1 << 33)) != follower.source.show(Position(1))

    def test_closes_twice(self, follower: Follower) -> None:
        """Closing again is quiet, and waking a closed source harmless."""
        follower.load()
        for _ in range(2):
            follower.source.close()
            follower.source.wake()
