"""Random worlds under concurrent transactions: what a daemon writes, with SQL as the oracle.

Half of PROPERTY_SECONDS (15) is for each, or 1.2 times PROOF_SECONDS for all of them together.
PROPERTY_SEED repeats a run: its first worlds are those that failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.generators.followed_worlds import How, Servers, play_worlds
from tests.generators.searched import IndexSearch

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon


SHARES = {False: 0.15, True: 0.25}
"""Of the proof, on each version: kills and restarts need more time for as many worlds."""


@pytest.mark.parametrize("killed", [False, True], ids=["followed", "killed"])
@pytest.mark.parametrize("database", [15, 16, 18], indirect=True)
def test_random_worlds(
    database: Database,
    opensearch: OpenSearchServer,
    start_daemon: StartDaemon,
    rest: Rest,
    capsys: pytest.CaptureFixture[str],
    *,
    killed: bool,
) -> None:
    """Each document is that of the commit which its version names, and that of SQL at the end."""
    daemon = start_daemon({}, start=False)
    sources = database.server, database.server  # more often than the sink
    servers = Servers(*sources, opensearch) if killed else None
    with capsys.disabled():
        how = How(proof_share=SHARES[killed])
        play_worlds(database, daemon, IndexSearch(rest), servers, how)
