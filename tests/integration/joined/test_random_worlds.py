"""Random worlds under concurrent transactions: what a daemon writes, with SQL as the oracle.

PROPERTY_SECONDS says how long (15), or PROOF_SECONDS for both tests together. PROPERTY_SEED repeats
a run: its first worlds are those that failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.generators.followed_worlds import How, Servers, play_worlds
from tests.generators.searched import IndexSearch

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer, PostgresServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon


@pytest.fixture
def servers(postgres_server: PostgresServer, opensearch: OpenSearchServer) -> Servers:
    """Those of these tests: more often the source."""
    return Servers(postgres_server, postgres_server, opensearch)


@pytest.mark.parametrize("killed", [False, True], ids=["followed", "killed"])
def test_random_worlds(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    servers: Servers,
    capsys: pytest.CaptureFixture[str],
    *,
    killed: bool,
) -> None:
    """Each document is that of the commit which its version names, and that of SQL at the end."""
    daemon = start_daemon({}, start=False)
    with capsys.disabled():
        how = How(proof_share=0.5)
        play_worlds(database, daemon, IndexSearch(rest), servers if killed else None, how)
