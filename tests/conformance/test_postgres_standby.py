"""The PostgreSQL source keeps the contract of every source on a standby, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.conformance.chunk_suite import (  # noqa: F401 - a fixture of the suite
    ChunkSuite,
    reader,
)
from tests.conformance.follower import follower  # noqa: F401 - a fixture of the suite
from tests.conformance.place_suite import PlaceSuite
from tests.conformance.source_suite import SourceSuite
from tests.conformance.test_postgres import PLAIN, PostgresUpstream
from tests.conftest import fresh_database
from tests.generators.standby import pair  # noqa: F401 - a fixture of the suite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.upstream import Write
    from tests.conftest import Database
    from tests.generators.standby import Pair


class StandbyUpstream(PostgresUpstream):
    """Writes go to the primary, and are there once the standby has replayed them."""

    def __init__(self, database: Database, pair: Pair) -> None:  # noqa: F811 - what it gives
        self._pair = pair
        super().__init__(database, ("public", "item"), PLAIN)
        self._pair.wait_replayed()

    def settings(self) -> dict[str, Any]:
        """The standby is followed."""
        return self._pair.source(self._name)

    def commit(self, *writes: Write) -> None:
        """On the primary."""
        super().commit(*writes)
        self._pair.wait_replayed()

    def disconnect(self) -> None:
        """From the standby's side, where the connections are."""
        with psycopg.connect(self._pair.standby.dsn_of(self._name), autocommit=True) as connection:
            self._cut(connection)


class TestStandby(ChunkSuite, PlaceSuite, SourceSuite):
    """A standby and its primary, both real."""

    @pytest.fixture
    def upstream(self, pair: Pair) -> Iterator[StandbyUpstream]:  # noqa: F811 - the fixture
        """Key and note, nothing else."""
        with fresh_database(pair.primary) as database:
            made = StandbyUpstream(database, pair)
            yield made
            made.close()
            pair.drop_slots()
