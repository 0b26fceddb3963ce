"""What a source must do that has rows to read in chunks: inherit `ChunkSuite` beside `SourceSuite`.

The fixtures are the same: `upstream`, and `follower` of `tests.conformance.follower`.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import RetryError
from tests.conformance.follower import decoded
from tests.conformance.rows_suite import RowsSuite
from tests.conformance.upstream import Delete, Insert, Update
from tests.generators.existing_rows import planned, read_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cdc_daemon.ports import ChunkReader, ChunkRows
    from tests.conformance.follower import Follower
    from tests.conformance.upstream import Rows, Upstream


@pytest.fixture
def reader(follower: Follower) -> Iterator[ChunkReader]:
    """Reads chunks of what the follower follows."""
    with closing(follower.source.chunk_reader()) as made:
        yield made


class ChunkSuite(RowsSuite):
    """The contract of `cdc_daemon.ports.ChunkReader`, sentence by sentence."""

    def test_an_empty_table_has_no_chunks(self, follower: Follower) -> None:
        """Nothing to read."""
        follower.load()
        assert planned(follower.source, follower.relation) == []

    def test_chunks_hold_every_row_once(
        self, upstream: Upstream, follower: Follower, reader: ChunkReader
    ) -> None:
        """Rows that are there when the chunks are plan, as they are when they are read."""
        upstream.commit(*(Insert(str(n), "x" * (n % 300)) for n in range(2000)))
        upstream.commit(*(Delete(str(n)) for n in range(100)))
        follower.load()
        plan = planned(follower.source, follower.relation)
        upstream.commit(*(Delete(str(n)) for n in range(100, 200)), Update("200", "new"))
        rows = rows_of(read_chunks(reader, follower.relation, plan))
        expected: Rows = {str(n): "x" * (n % 300) for n in range(200, 2000)}
        expected["200"] = "new"
        assert rows == expected

    def test_a_chunk_says_what_it_has_seen(
        self, upstream: Upstream, follower: Follower, reader: ChunkReader
    ) -> None:
        """Commits before it, which the stream brings up to its position; none that come later."""
        follower.load()
        upstream.commit(Insert("a"))
        (first,) = follower.follow(1)
        plan = planned(follower.source, follower.relation)
        earlier = read_chunks(reader, follower.relation, plan)
        upstream.commit(Update("a", "other"))
        (second,) = follower.follow(1)
        later = read_chunks(reader, follower.relation, plan)
        assert all(chunk.seen.sees(first.xid) for chunk in earlier)
        assert all(chunk.reached >= first.position for chunk in earlier)
        assert not any(chunk.seen.sees(second.xid) for chunk in earlier)
        assert all(chunk.seen.sees(second.xid) for chunk in later)
        assert all(chunk.reached >= second.position for chunk in later)
        assert (rows_of(earlier), rows_of(later)) == ({"a": None}, {"a": "other"})

    def test_the_stream_passes_what_a_chunk_has_reached(
        self, upstream: Upstream, follower: Follower, reader: ChunkReader
    ) -> None:
        """Also where nobody writes any more."""
        follower.load()
        upstream.commit(Insert("a"))
        chunks = read_chunks(reader, follower.relation, planned(follower.source, follower.relation))
        follower.follow(1)
        for _ in range(50):
            come = max(follower.watermark, follower.commits[-1].position)
            if come >= max(chunk.reached for chunk in chunks):
                return
            follower.read_once(0.2)
        raise AssertionError("the stream doesn't get there")

    def test_a_snapshot_sees_what_was_committed(
        self, upstream: Upstream, follower: Follower, reader: ChunkReader
    ) -> None:
        """Without reading a row."""
        follower.load()
        before = reader.visibility()
        upstream.commit(Insert("a"))
        (commit,) = follower.follow(1)
        assert not before.sees(commit.xid)
        assert reader.visibility().sees(commit.xid)

    def test_a_lost_connection_of_a_reader_is_retried(
        self, upstream: Upstream, follower: Follower, reader: ChunkReader
    ) -> None:
        """It connects again by itself."""
        follower.load()
        upstream.commit(Insert("a"))
        plan = planned(follower.source, follower.relation)
        for _ in range(2):
            assert rows_of(read_chunks(reader, follower.relation, plan)) == {"a": None}
            upstream.disconnect()
            with pytest.raises(RetryError):
                read_chunks(reader, follower.relation, plan)
        reader.close()
        reader.close()


def rows_of(chunks: Iterable[ChunkRows]) -> Rows:
    """The rows, none of which may come twice."""
    rows = [decoded(row) for chunk in chunks for row in chunk.rows]
    assert len(dict(rows)) == len(rows)
    return dict(rows)
