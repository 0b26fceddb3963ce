"""A random schema with its read models, a daemon that follows it, and the histories of both.

SQL is the oracle: at the end of each history every document is what a query makes of its row.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg

from tests.generators.history import Load, Plan
from tests.generators.oracle import assert_equal, compare
from tests.generators.random_ddl import COMING_AND_GOING, SchemaSteps
from tests.generators.random_mapping import ReadModel, random_read_models
from tests.generators.random_tables import TYPES, random_table
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.generators.controlled_daemon import ControlledDaemon
    from tests.generators.rest import Rest

HISTORIES = 12
"""For one schema: its first one is loaded, the others are streamed and repaired."""
LEAST_HISTORIES = 3
"""Also where the time is over."""
TRANSACTIONS = 30
PAUSE_SECONDS = 0.03
TIRING = 5
"""Sessions go on for as long as a daemon starts or loads: more and more slowly, as transactions
beyond those that it needs would only make it take longer."""
REPAIR_SHARE = 0.3
KILL_SHARE = 0.5
CHANGE_SHARES = (0.05, 0.05, 0.5)
"""How many of the steps that change a schema do so: after each there is something to be loaded."""
SETTINGS = "-c deadlock_timeout=20ms -c lock_timeout=100ms -c synchronous_commit=off"
SETTLED_SECONDS = 60.0
POLL_SECONDS = 0.2
"""Between two questions to the daemon: an answer costs both sides some milliseconds of a core, and
others have something to do meanwhile."""
UNDECODABLE = "PostgreSQL fails to decode its log"
"""The server can stumble over DDL that runs while a slot is made (18.4: "unexpected duplicate for
tablespace 0, relfilenumber ..."): then what the message says must help."""

KEY = """
select attname from pg_index, unnest(indkey) with ordinality as part (number, at), pg_attribute
where indrelid = %s::regclass and indisprimary and attrelid = indrelid and attnum = number
order by at
"""


class Schema:
    """Random tables with their read models, and a daemon that follows them."""

    def __init__(self, dsn: str, daemon: ControlledDaemon, rest: Rest, rng: Random) -> None:
        self.dsn = dsn
        self.daemon = daemon
        self.rest = rest
        self.rng = rng
        self.counts: Counter[str] = Counter()
        self._undecodable = self._told_undecodable()
        self.name = f"h{uuid.uuid4().hex[:10]}"
        self.tables = [
            random_table(rng, self.name, f"t{at}") for at in range(rng.choice((1, 1, 2)))
        ]
        share = rng.choice(CHANGE_SHARES)
        self.changes = [SchemaSteps(table, self.tables, share) for table in self.tables]
        self.models: list[ReadModel] = [
            model for table in self.tables for model in random_read_models(rng, table)
        ]

    def make(self) -> None:
        """The tables, with some rows, and the configuration."""
        with psycopg.connect(self.dsn, options=f"-c search_path={self.name}") as connection:
            connection.execute(f"create schema {self.name}")
            for statement in (TYPES, *(line for table in self.tables for line in table.ddl())):
                connection.execute(statement.encode())
            for table in self.tables:
                table.fill(connection.cursor(), self.rng)
        self.daemon.configure(
            name=self.name,
            projections={model.name: model.projection for model in self.models},
            backfill={"chunk": "16kB", "rows_per_second": self.rng.choice((100, 1000, 100_000))},
            memory={"transaction": self.rng.choice(("20kB", "64MB"))},
        )

    def remove(self) -> None:
        """Leave nothing behind."""
        self.daemon.running.close()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            slots = "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
            until(lambda: not self._slot_is_used(connection), 10, "the slot is free")
            connection.execute(f"{slots} where slot_name = 'cdc_{self.name}'")
            connection.execute(f"drop publication if exists cdc_{self.name}")
            connection.execute(f"drop schema {self.name} cascade")
        for model in self.models:
            self.rest.delete(f"/{model.name}-*")

    def _slot_is_used(self, connection: psycopg.Connection) -> bool:
        query = "select from pg_replication_slots where slot_name = %s and active"
        return connection.execute(query, [f"cdc_{self.name}"]).fetchone() is not None

    def load(self, late_seconds: float) -> Load:
        """Sessions that write into all tables."""
        steps = [step for table in self.tables for step in table.steps()]
        steps += [step for change in self.changes for step in change.all()]
        if self.rng.random() < 0.3:
            steps += [table.truncate for table in self.tables]
        plan = Plan(
            steps=steps,
            between=[f"vacuum full {table.sql}" for table in self.tables],
            late_seconds=late_seconds,
            tiring=TIRING,
            settings=f"{SETTINGS} -c search_path={self.name}",
        )
        return Load(self.dsn, self.rng.getrandbits(32), pause_seconds=PAUSE_SECONDS, plan=plan)

    def repair(self) -> threading.Thread:
        """Ask for one, and don't wait for the answer."""
        model = self.rng.choice(self.models)

        def ask() -> None:
            with suppress(OSError):  # it is killed meanwhile
                self.daemon.ask("start", projection=model.name)

        thread = threading.Thread(target=ask)
        thread.start()
        self.counts["repairs"] += 1
        return thread

    def kill(self) -> None:
        """At any moment, also while it starts."""
        if self.rng.random() < 0.8:
            self._await_following()
        time.sleep(self.rng.uniform(0, 0.5))
        self.daemon.running.kill()
        self.daemon.running.start()
        self.counts["kills"] += 1

    def _await_following(self) -> None:
        running = self.daemon.running
        until(lambda: running.status().get("backfill"), 60, "it follows", POLL_SECONDS)

    def history(self) -> None:
        """One history, also where the server can't decode what happened in it."""
        try:
            self._write_and_compare(kills=self.rng.random() < KILL_SHARE)
        except (AssertionError, ProcessLookupError):
            if self._told_undecodable() == self._undecodable:
                raise
            self._begin_anew()
        self.counts["histories"] += 1

    def _told_undecodable(self) -> int:
        return self.daemon.running.said().count(UNDECODABLE)

    def _begin_anew(self) -> None:
        """As the message says."""
        until(lambda: not self.daemon.running.is_running, 60, "the daemon has ended")
        self._undecodable = self._told_undecodable()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("select pg_drop_replication_slot(%s)", [f"cdc_{self.name}"])
        self.daemon.running.start()
        self.compare()
        self.counts["undecodable"] += 1

    def _write_and_compare(self, *, kills: bool) -> None:
        """Transactions until there are enough of them, and then the comparison."""
        running = self.daemon.running
        is_first = not running.is_running
        with self.load(late_seconds=2.0 if kills else 0.2) as load:
            if is_first:
                running.start()
            repair = self.repair() if not is_first and self.rng.random() < REPAIR_SHARE else None
            if kills:
                self.kill()
            self._await_following()
            until(lambda: load.committed >= TRANSACTIONS, 60, "enough is committed", POLL_SECONDS)
        if repair is not None:
            repair.join()
        self.compare()
        self.counts["transactions"] += load.committed
        self.counts["rolled back"] += load.rolled_back
        self.counts["rows"] += load.rows

    def compare(self) -> None:
        """Every document equals what SQL makes of its row."""
        until(self._has_read_all, SETTLED_SECONDS, "all rows are read", POLL_SECONDS)
        self.daemon.running.wait_until("streaming")
        self.daemon.running.catch_up(SETTLED_SECONDS, POLL_SECONDS)
        queries = self._queries()
        with suppress(AssertionError):  # a change of a table is noticed a moment later
            until(lambda: self._is_equal(queries), SETTLED_SECONDS, "all is equal", POLL_SECONDS)
        self.counts["documents"] += assert_equal(self.dsn, self.rest, queries, COMING_AND_GOING)
        status = self.daemon.running.status()
        assert not status["dead_letters"], status

    def _queries(self) -> dict[str, str]:
        """Of all read models, by the keys that the tables have now."""
        with psycopg.connect(self.dsn) as connection:
            keys = {
                table.sql: [name for (name,) in connection.execute(KEY, [table.sql])]
                for table in self.tables
            }
        return {model.name: model.query(keys[model.table.sql]) for model in self.models}

    def described(self) -> str:
        """For a failure: the publication, and what the daemon says of itself."""
        running = self.daemon.running
        with psycopg.connect(self.dsn) as connection:
            query = "select xmin, * from pg_publication where pubname = %s"
            published = connection.execute(query, [f"cdc_{self.name}"]).fetchall()
        metrics = running.metrics() if running.is_running else {}
        return f"{published}\n{metrics}\n{running.status()}\n{running.tail()}"

    def _has_read_all(self) -> bool:
        running = self.daemon.running
        assert running.is_running, f"the daemon has ended:\n{running.tail()}"
        return self.daemon.done()

    def _is_equal(self, queries: dict[str, str]) -> bool:
        found = compare(self.dsn, self.rest, queries, COMING_AND_GOING)
        return self.daemon.done() and all(one.none for one in found.values())


def played(schema: Schema, is_over: Callable[[], bool]) -> Counter[str]:
    """All histories of a schema, or fewer where the time is over, and what they were."""
    schema.make()
    try:
        for number in range(HISTORIES):
            if number >= LEAST_HISTORIES and is_over():
                break
            schema.history()
    except BaseException as error:
        error.add_note("\n".join(line for table in schema.tables for line in table.ddl()))
        error.add_note("\n".join(map(str, schema.models)))
        error.add_note(schema.described())
        raise
    schema.remove()
    return sum((change.done for change in schema.changes), schema.counts)
