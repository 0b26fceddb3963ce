"""The polling source keeps the contract of every source, as far as polls can see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from connectors.polling import PollingSource
from connectors.polling.config import PollingConfig
from tests.conformance.chunk_suite import (  # noqa: F401 - a fixture of the suite
    ChunkSuite,
    reader,
)
from tests.conformance.follower import follower  # noqa: F401 - a fixture of the suite
from tests.conformance.place_suite import PlaceSuite
from tests.conformance.source_suite import SourceSuite
from tests.conformance.test_postgres import PARTITIONED, WIDER, PostgresUpstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database


class PolledUpstream(PostgresUpstream):
    """A table that is polled often."""

    def __init__(
        self, database: Database, table: tuple[str, str], ddl: str, folder: Path, **how: Any
    ) -> None:
        super().__init__(database, table, ddl)
        self.dsn = database.dsn
        self._folder = folder
        self._how = how

    def write(self, statement: str) -> None:
        """Do that, in a transaction of its own."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def source(self) -> PollingSource:
        """Polls the database; what it has read is kept in one folder."""
        config = PollingConfig.model_validate(
            {
                "type": "polling",
                "dsn": self._dsn,
                "interval": "100ms",
                "lock_wait": "5s",
                "tables": {self.table: self._how},
            }
        )
        made = PollingSource(config, pipeline="conformance")
        made.keep_in(self._folder)
        self._sources.append(made)
        return made


class PolledSuite(ChunkSuite, PlaceSuite, SourceSuite):
    """What a poll finds is one commit, and nothing is kept for it."""

    each_commit = False
    keeps_log = says_what_is_kept = False


class TestComparison(PolledSuite):
    """All rows, compared each time, of a table in partitions."""

    @pytest.fixture
    def upstream(self, database: Database, tmp_path: Path) -> Iterator[PolledUpstream]:
        """Two partitions with another order of columns."""
        made = PolledUpstream(database, ("public", "item"), PARTITIONED, tmp_path)
        yield made
        made.close()


class TestXmin16(PolledSuite):
    """The oldest server that comes with the tests, and names that must be quoted."""

    @pytest.fixture
    def upstream(self, database16: Database, tmp_path: Path) -> Iterator[PolledUpstream]:
        """By xmin; compared each time, too, for what is gone."""
        table = ("Schöner Laden", 'Mixed "Case" Ünï')
        made = PolledUpstream(database16, table, WIDER, tmp_path, by="xmin", compare="1ms")
        yield made
        made.close()
