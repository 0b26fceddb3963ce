"""Strong: no search misses a commit that had returned before it began, whoever's it was."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.price.checking import missed_commits, monotonic_reads, read_your_writes
from cdc_daemon.price.clients import StrongClient
from tests.generators.entries import (
    OPERATIONS,
    ROUNDS,
    careless,
    clients,
    fill,
    flat,
    go_on,
    joined,
    places,
)
from tests.integration.strong.conftest import enable, run_strong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.embedded import OpenSearchServer
    from tests.conftest import Database
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon


STAGE = OPERATIONS // (12 * ROUNDS)
"""How many operations there are between two failures."""


@contextmanager
def enabled(daemon: RunningDaemon) -> Iterator[None]:
    """Commits can wait within the context, and for nobody after it."""
    enable(daemon)
    try:
        yield
    finally:
        run_strong(daemon, "disable")


@pytest.mark.parametrize("projections", [flat, joined])
def test_no_search_misses_a_commit_that_had_returned(
    database: Database,
    opensearch: OpenSearchServer,
    start_daemon: StartDaemon,
    projections: Callable[[str], dict[str, Any]],
) -> None:
    """Not while the daemon is killed with -9, nor while OpenSearch restarts: COMMITs wait."""
    fill(database.dsn)
    daemon = start_daemon(projections("200ms"), consistency={"strong": {}})
    where = places(database.dsn, opensearch.url, daemon)
    with enabled(daemon), clients(partial(StrongClient, where), OPERATIONS // 4) as workload:
        for _ in range(ROUNDS):
            go_on(workload, STAGE)
            daemon.kill()
            daemon.start()
            daemon.wait_until("streaming")
            go_on(workload, STAGE)
            opensearch.kill()
            opensearch.start()
            go_on(workload, STAGE)
    history = workload.history
    missed = missed_commits(history)
    assert not missed, [str(one) for one in missed[:5]]
    assert not read_your_writes(history)
    assert not monotonic_reads(history)
    assert missed_commits(careless(where, daemon))
