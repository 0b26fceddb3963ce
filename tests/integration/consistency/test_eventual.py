"""Eventual: late, but never later than the daemon says; and what clients see of it is checked."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from cdc_daemon.price.checking import missed_commits, monotonic_reads, read_your_writes, staleness
from cdc_daemon.price.clients import Answer, EventualClient
from tests.generators.entries import (
    NOTHING_PROMISED,
    TrustingClient,
    audited,
    careless,
    clients,
    fill,
    flat,
    go_on,
    places,
)
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer
    from cdc_daemon.price.history import History
    from tests.conftest import Database
    from tests.integration.pipeline.conftest import StartDaemon


class UndecidedClient(EventualClient):
    """Reads the source one time and the read model another, as a page made of both does."""

    def read(self, key: int) -> Answer:
        """By chance: about half of the reads each."""
        return random.choice((self.selected, self.searched))(key)


def promises(history: History) -> int:
    """How many searches had been told until when they show everything."""
    return sum(search.promised != NOTHING_PROMISED for search in history.searches)


def test_searches_converge_within_the_stated_delay(
    database: Database, opensearch: OpenSearchServer, start_daemon: StartDaemon
) -> None:
    """What the watermark says is searchable is found, with kill -9; in the end all is."""
    fill(database.dsn)
    daemon = start_daemon(flat("200ms"))
    daemon.wait_until("streaming")
    where = places(database.dsn, opensearch.url, daemon)
    with clients(partial(TrustingClient, where)) as workload:
        go_on(workload, 300)
        daemon.kill()
        go_on(workload, 100)
        daemon.start()
        before = promises(workload.history)
        until(lambda: promises(workload.history) > before + 300, 120, "there are promises again")
    history = workload.history
    assert before > 0
    broken = missed_commits(history, lambda search: search.promised)
    assert not broken, [str(one) for one in broken[:5]]
    daemon.catch_up()
    missed = missed_commits(audited(history, where))
    assert not missed, [str(one) for one in missed[:5]]
    assert missed_commits(careless(where, daemon))  # the checker isn't blind


def test_without_waiting_clients_miss_what_they_wrote(
    database: Database, opensearch: OpenSearchServer, start_daemon: StartDaemon
) -> None:
    """The checker finds what a freshness of seconds must show: so it can fail."""
    fill(database.dsn)
    daemon = start_daemon(flat("2s"))
    daemon.wait_until("streaming")
    where = places(database.dsn, opensearch.url, daemon)
    with clients(partial(UndecidedClient, where)) as workload:
        go_on(workload, 300)
    history = workload.history
    assert len(read_your_writes(history)) > 50
    assert len(monotonic_reads(history)) > 50
    assert len(missed_commits(history)) > 50
    assert max(staleness(history)) > 0.5
