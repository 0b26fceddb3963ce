"""The outbox keeps the contract of every source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.outbox import OutboxSource
from connectors.outbox.config import OutboxConfig
from tests.conformance.chunk_suite import (  # noqa: F401 - a fixture of the suite
    ChunkSuite,
    reader,
)
from tests.conformance.follower import follower  # noqa: F401 - a fixture of the suite
from tests.conformance.place_suite import PlaceSuite
from tests.conformance.source_suite import SourceSuite
from tests.conformance.test_postgres import PLAIN, WIDER, PostgresUpstream
from tests.generators.outboxes import install_outbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database


class OutboxUpstream(PostgresUpstream):
    """A table with triggers."""

    def __init__(
        self, database: Database, table: tuple[str, str], ddl: str, *, notify: bool = True
    ) -> None:
        super().__init__(database, table, ddl)
        self._notify = notify
        install_outbox(self._dsn, "conformance", [self.table], "the outbox", notify=notify)

    def source(self) -> OutboxSource:
        """Reads the outbox."""
        config = OutboxConfig.model_validate(
            {
                "type": "outbox",
                "dsn": self._dsn,
                "schema": "the outbox",
                "notify": self._notify,
                "poll_interval": "100ms",
                "reader_wait": "5s",
            }
        )
        made = OutboxSource(config, pipeline="conformance")
        self._sources.append(made)
        return made


class OutboxSuite(ChunkSuite, PlaceSuite, SourceSuite):
    """What a read finds is one commit, with every change that was made."""

    each_commit = False


class TestOutbox(OutboxSuite):
    """An ordinary table."""

    @pytest.fixture
    def upstream(self, database: Database) -> Iterator[OutboxUpstream]:
        """Key and note, nothing else."""
        made = OutboxUpstream(database, ("public", "item"), PLAIN)
        yield made
        made.close()


class TestOutbox16(OutboxSuite):
    """The oldest server that comes with the tests, names that must be quoted; nobody notifies."""

    @pytest.fixture
    def upstream(self, database16: Database) -> Iterator[OutboxUpstream]:
        """Other columns besides, and one that was dropped."""
        table = ("Schöner Laden", 'Mixed "Case" Ünï')
        made = OutboxUpstream(database16, table, WIDER, notify=False)
        yield made
        made.close()
