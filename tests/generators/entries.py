"""One table of entries whose versions grow, its read model, and clients of it."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from cdc_daemon.outside.search import Search as OpenSearch
from cdc_daemon.price.clients import Answer, EventualClient, Places
from cdc_daemon.price.history import History, Search, Write
from cdc_daemon.price.workload import Workload, keys_of
from tests.generators.rest import Refused, Rest
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.generators.running_daemon import RunningDaemon

OPERATIONS = int(os.environ.get("CONSISTENCY_OPERATIONS") or 1200)
"""How many commits and searches a proof goes on for, at least."""
ROUNDS = max(1, OPERATIONS // 10_000)
"""How often everything fails meanwhile: of a long proof no part is a calm one."""
STAGE = OPERATIONS // (8 * ROUNDS)
"""How many operations there are between two failures."""
CLIENTS = int(os.environ.get("CONSISTENCY_CLIENTS") or 6)
"""That work at once: the more there are, the more a long proof does in its time."""
RATE = 300.0
READ_MODEL = "entries"
TABLE = "history"
"""That clients write to."""
TABLES = """
create table entry (id int primary key);
create table history (id int primary key, version int not null);
"""
AUDITOR = "auditor"
CARELESS = "careless"
NOTHING_PROMISED = -math.inf


def flat(freshness: str) -> dict[str, Any]:
    """The read model made of the table alone, as fresh as this."""
    return {READ_MODEL: {"from": TABLE, "fields": ["id", "version"], "freshness": freshness}}


def joined(freshness: str) -> dict[str, Any]:
    """The same documents, but each is a row of another table with an aggregate of this one."""
    version = {"max": TABLE, "value": "version", "on": {"id": "id"}}
    joined_model = {"from": "entry", "fields": ["id"], "embed": {"version": version}}
    return {READ_MODEL: {**joined_model, "freshness": freshness}}


def fill(dsn: str) -> None:
    """Make the tables, with a row for each key of the clients."""
    with psycopg.connect(dsn) as connection:
        connection.execute(TABLES)
        rows = "insert into history select id, 0 from generate_series(1, %s) id"
        connection.execute(rows, [keys_of(CLIENTS)])
        connection.execute("insert into entry select id from history")


def places(dsn: str, search_url: str, *daemons: RunningDaemon) -> Places:
    """Where clients of these daemons write and read."""
    listening = [json.loads(daemon.file.read_text())["web"]["listen"] for daemon in daemons]
    urls = tuple(f"http://{address}" for address in listening)
    return Places(dsn, search_url, urls, READ_MODEL, TABLE)


@contextmanager
def clients(make: Callable[[], EventualClient], operations: int = OPERATIONS) -> Iterator[Workload]:
    """Clients that work within the context, and until they have done so much."""
    workload = Workload(make, CLIENTS, RATE)
    workload.start()
    try:
        yield workload
        most = 120 + operations / 10
        until(lambda: done(workload) >= operations, most, f"{operations} operations")
    finally:
        workload.stop()


def done(workload: Workload) -> int:
    """How many operations are in the history."""
    workload.raise_failure()
    return len(workload.history.writes) + len(workload.history.searches)


def go_on(workload: Workload, operations: int) -> None:
    """Wait until clients have done some more."""
    end = done(workload) + operations
    most = 120 + operations / 10
    until(lambda: done(workload) >= end, most, f"{operations} more operations")


def audited(history: History, where: Places) -> History:
    """The same commits, and one search for each key now."""
    now = History(history.writes)
    with OpenSearch(where.search_url) as search:
        for key in range(1, keys_of(CLIENTS) + 1):
            began = time.monotonic()
            found = search.first(READ_MODEL, {"term": {"id": key}}, ["version"])
            answer = Search(AUDITOR, str(key), (found or {"version": 0})["version"], began, began)
            now.searches.append(answer)
    return now


def careless(where: Places, daemon: RunningDaemon) -> History:
    """What a client does and sees that waits for nothing, while nothing can be shown to it.

    The daemon is frozen, so a checker that finds nothing wrong here would find nothing anywhere.
    """
    history = History()
    daemon.signal(signal.SIGSTOP)
    try:
        with EventualClient(where) as client:
            history.writes.append(Write(CARELESS, "1", *client.write(1)))
            for read in (client.selected, client.searched):
                history.searches.append(Search(CARELESS, "1", *read(1)))
    finally:
        daemon.signal(signal.SIGCONT)
    return history


class TrustingClient(EventualClient):
    """Takes the daemon at its word: what its watermark says is searchable has to be found."""

    def __init__(self, where: Places) -> None:
        super().__init__(where)
        self._status = Rest(where.daemon_urls[0])

    def read(self, key: int) -> Answer:
        """As the watermark was just before."""
        promised = self._promised()
        return self.searched(key)._replace(promised=promised)

    def _promised(self) -> float:
        """Until when all is searchable, by the clock of clients, which is the source's, too."""
        try:
            watermark = self._status.get("/api/v1/status")["watermark"]["searchable"]
        except (OSError, Refused, KeyError):  # it is away, or has only just been started
            return NOTHING_PROMISED
        ahead = time.time() - time.monotonic()
        return NOTHING_PROMISED if watermark is None else watermark - ahead
