"""Causal: no client ever misses what it wrote, or sees less than it has seen, whatever dies."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cdc_daemon.client import token_of
from cdc_daemon.price.checking import missed_commits, monotonic_reads, read_your_writes
from cdc_daemon.price.clients import Answer, CausalByIdClient, CausalClient
from tests.generators.entries import (
    OPERATIONS,
    ROUNDS,
    STAGE,
    careless,
    clients,
    done,
    fill,
    flat,
    go_on,
    joined,
    places,
)

if TYPE_CHECKING:
    from cdc_daemon.client import Outcome
    from cdc_daemon.client.searching import Asked
    from cdc_daemon.embedded import OpenSearchServer
    from cdc_daemon.price.history import History
    from tests.conftest import Database
    from tests.integration.pipeline.conftest import StartDaemon

FRESHNESS = "1s"
"""Nobody would find their own write by luck."""
PATIENCE_SECONDS = 2.0
"""Then the source is asked."""


class Impatient(CausalClient):
    """Asks the source when the read model isn't there in time, and remembers what it saw."""

    def wish(self, key: int) -> Asked:
        """Not for as long as usual."""
        return {**super().wish(key), "timeout": PATIENCE_SECONDS}

    def late(self, key: int, outcome: Outcome) -> Answer:
        """The source knows; later searches must not show less."""
        assert not outcome.reached
        answer = self.selected(key)
        self.session.note(token_of(self.connection))
        return answer


class ImpatientById(Impatient, CausalByIdClient):
    """The same, for one document."""


def assert_causal(history: History, without: History) -> None:
    """Both guarantees of a session hold; and not of one that waits for nothing (`without`)."""
    own, seen = read_your_writes(history), monotonic_reads(history)
    assert not own, [str(one) for one in own[:5]]
    assert not seen, [str(one) for one in seen[:5]]
    for check in (read_your_writes, monotonic_reads, missed_commits):
        assert check(without), check.__name__
    found = len(missed_commits(history))
    print(f"{len(history.searches)} searches, {found} missed what others wrote")  # noqa: T201 - for people


def test_sessions_hold_while_everything_fails(
    database: Database, opensearch: OpenSearchServer, start_daemon: StartDaemon
) -> None:
    """Clients of two daemons: both are killed with -9 in turn, and OpenSearch restarts."""
    fill(database.dsn)
    first = start_daemon(flat(FRESHNESS), standby=True, folder="first")
    first.wait_until("streaming")
    second = start_daemon(flat(FRESHNESS), standby=True, folder="second")
    second.wait_until("standby")
    where = places(database.dsn, opensearch.url, first, second)
    with clients(partial(Impatient, where)) as workload:
        for _ in range(ROUNDS):
            go_on(workload, STAGE)
            first.kill()
            second.wait_until("streaming")
            go_on(workload, STAGE)
            first.start()
            first.wait_until("standby")
            opensearch.kill()
            opensearch.start()
            go_on(workload, STAGE)
            second.kill()
            first.wait_until("streaming")
            go_on(workload, STAGE)
            second.start()
            second.wait_until("standby")
    assert done(workload) >= OPERATIONS
    assert_causal(workload.history, careless(where, first))


def test_sessions_hold_that_wait_for_one_document(
    database: Database, opensearch: OpenSearchServer, start_daemon: StartDaemon
) -> None:
    """Each search waits for its own, a joined document; the daemon is killed with -9."""
    fill(database.dsn)
    daemon = start_daemon(joined(FRESHNESS))
    daemon.wait_until("streaming")
    where = places(database.dsn, opensearch.url, daemon)
    with clients(partial(ImpatientById, where)) as workload:
        for _ in range(ROUNDS):
            go_on(workload, STAGE)
            daemon.kill()
            daemon.start()
            daemon.wait_until("streaming")
            go_on(workload, STAGE)
    assert_causal(workload.history, careless(where, daemon))
