"""What `ChunkSuite` has of rows that were there before, and of the stream that meets them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tests.conformance.meeting import Meeting
from tests.conformance.upstream import Delete, Insert, Update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Commit
    from tests.conformance.follower import Follower
    from tests.conformance.upstream import Rows, Upstream, Write


class RowsSuite:
    """Rows and stream give together what is there, sentence by sentence."""

    def test_loads_what_is_there_and_follows_what_comes(
        self, upstream: Upstream, follower: Follower
    ) -> None:
        """Rows before are in the chunks, changes after in the stream, in order of commit."""
        upstream.commit(*(Insert(str(n), f"note {n}") for n in range(1000)))
        upstream.commit(Delete("0"))
        position = follower.load()
        assert follower.rows == {str(n): f"note {n}" for n in range(1, 1000)}
        writes: list[list[Write]] = [
            [Insert("new", None), Update("1", "other"), Delete("2")],
            [Update("3", None, new_id="three")],
            [Update("new", 'a "quoted" \\ line\n of ☕')],
        ]
        commits: list[Commit] = []
        for some in writes:
            upstream.commit(*some)
            upstream.roll_back(Insert("never"))
            commits += follower.follow(1)
        expected: Rows = {str(n): f"note {n}" for n in range(4, 1000)}
        expected |= {"1": "other", "three": None, "new": 'a "quoted" \\ line\n of ☕'}
        assert follower.rows == expected
        positions = [commit.position for commit in commits]
        assert position < positions[0] < positions[1] < positions[2]
        assert all(abs(commit.time - time.time()) < 120 for commit in commits)

    def test_chunks_meet_the_stream(self, upstream: Upstream, follower: Follower) -> None:
        """With writers at work, chunks and what they don't see give every row exactly once."""
        written, stop = [0, 0, 0], threading.Event()

        def write(writer: int) -> None:
            while not stop.is_set():
                n = written[writer]
                upstream.commit(Insert(f"{writer}:{n}", "x"), Insert(f"{writer}:{n}b", "y"))
                if n % 3 == 2:
                    upstream.commit(Update(f"{writer}:{n}", "z"), Delete(f"{writer}:{n - 1}b"))
                written[writer] = n + 1

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                time.sleep(0.3)
                meeting = Meeting(follower)
                time.sleep(0.3)
                meeting.read_once()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        upstream.commit(Insert("last"))
        deadline = time.monotonic() + 20
        while "last" not in meeting.rows or len(meeting.window):
            assert time.monotonic() < deadline
            meeting.read_once()
        assert meeting.rows == expected_rows(written)

    def test_loading_anew_gives_up_the_old_place(
        self, upstream: Upstream, follower: Follower
    ) -> None:
        """A second place is of now, and the stream goes on from there."""
        first = follower.load()
        upstream.commit(Insert("a"))
        second = follower.load()
        assert second > first
        assert follower.rows == {"a": None}
        follower.idle(0.3)


def expected_rows(written: Sequence[int]) -> Rows:
    """What the writers of `test_snapshot_meets_the_stream` leave."""
    rows: Rows = {"last": None}
    for writer, count in enumerate(written):
        for n in range(count):
            rows[f"{writer}:{n}"] = "z" if n % 3 == 2 else "x"
            if n % 3 != 1 or n + 1 >= count:
                rows[f"{writer}:{n}b"] = "y"
    return rows
