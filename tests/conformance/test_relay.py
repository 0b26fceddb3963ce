"""The ordered log of a relay as a source keeps the contract of every source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.relay.config import RelayConfig
from connectors.relay.source import RelaySource
from tests.conformance.chunk_suite import (  # noqa: F401 - a fixture of the suite
    ChunkSuite,
    reader,
)
from tests.conformance.follower import follower  # noqa: F401 - a fixture of the suite
from tests.conformance.rows_suite import RowsSuite
from tests.conformance.source_suite import SourceSuite
from tests.conformance.test_postgres import WIDER, PostgresUpstream
from tests.generators.log_writer import LogWriter, make_log
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import KafkaServer
    from cdc_daemon.events import Position
    from tests.conftest import Database

END = "select pg_current_wal_flush_lsn() - '0/0' from pg_logical_emit_message(true, '', '')"


class PatientSource(RelaySource):
    """Makes a place once all is in the log: what comes before it isn't streamed, as tests go."""

    writer: LogWriter

    def create_place(self) -> Position:
        """Where the log of the server ended, at least."""
        end = self._database.queries().execute(END).fetchone()
        until(lambda: end and self.writer.reached >= end[0], 60, "it is in the log")
        return super().create_place()


class RelayUpstream(PostgresUpstream):
    """A table whose changes a relay writes to a log."""

    def __init__(
        self, database: Database, kafka: KafkaServer, table: tuple[str, str], ddl: str
    ) -> None:
        super().__init__(database, table, ddl)
        self._kafka = kafka
        self._log = f"log_{database.name}"
        make_log(kafka.bootstrap_servers, self._log)
        self._writer = LogWriter(
            *(database.dsn, kafka.bootstrap_servers, self._log, [self.table]), part_bytes=2000
        ).start()

    def source(self) -> RelaySource:
        """Follows the log."""
        config = RelayConfig.model_validate(
            {
                "type": "relay",
                "dsn": self._dsn,
                "bootstrap_servers": self._kafka.bootstrap_servers,
                "log": self._log,
            }
        )
        made = PatientSource(config, pipeline="conformance")
        made.writer = self._writer
        self._sources.append(made)
        return made

    def close(self) -> None:
        """The sources, then the relay."""
        super().close()
        self._writer.stop()


class TestRelay(ChunkSuite, RowsSuite, SourceSuite):
    """Names that must be quoted, other columns besides, and one that was dropped."""

    says_what_is_kept = False

    @pytest.fixture
    def upstream(self, database: Database, kafka: KafkaServer) -> Iterator[RelayUpstream]:
        """Key and note are two of them."""
        made = RelayUpstream(database, kafka, ("Schöner Laden", 'Mixed "Case" Ünï'), WIDER)
        yield made
        made.close()
