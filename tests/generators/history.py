"""A random history: tables, read models over them, and sessions that commit random transactions.

Each transaction breaks rules and mends them before its commit, so that a document which shows the
middle of one gives itself away (`broken_rule`).
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import psycopg

from tests.generators.history_steps import ACCOUNTS, STEPS, truncate
from tests.generators.oracle import documents
from tests.generators.rest import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.generators.history_steps import Step
    from tests.generators.rest import Rest

SCHEMA = """
create table account (
    id int primary key, owner text, a int not null, b int not null, amount numeric(12, 2),
    state text not null, tags text[], info jsonb, at timestamptz default clock_timestamp());
create table line (
    shop int, no int, sku text, qty int, price numeric, mood real, kind varchar(10),
    day date, code bytea, primary key (shop, no));
create table place (region text, code text, name text, open boolean, primary key (region, code));
"""

PROJECTIONS: dict[str, Any] = {
    "accounts": {"from": "public.account", "fields": "*", "freshness": "20ms"},
    "open_accounts": {
        "from": "public.account",
        "where": "state = 'open' and a % 3 <> 0",
        "fields": {
            "id": {"type": "long"},
            "who": {"column": "owner", "type": "keyword"},
            "sum": {"expression": "a + b"},
            "label": {"expression": "coalesce(owner, '?') || ' #' || id::text"},
            "amount": None,
            "origin": {"constant": "pg"},
            "nobody": {"column": "owner", "default": "nobody"},
        },
        "freshness": "20ms",
    },
    "lines": {
        "from": "public.line",
        "where": "qty > 0",
        "fields": {
            "shop": None,
            "no": None,
            "sku": {"type": "keyword"},
            "qty": None,
            "total": {"expression": "qty * price"},
            "mood": None,
            "day": None,
            "code": None,
        },
        "freshness": "50ms",
    },
    "places": {"from": "public.place", "fields": "*", "freshness": "50ms"},
}

EXPECTED = {
    "accounts": "select id::text, to_jsonb(account) from account",
    "open_accounts": """
        select id::text, jsonb_build_object('id', id, 'who', owner, 'sum', a + b,
            'label', coalesce(owner, '?') || ' #' || id, 'amount', amount, 'origin', 'pg',
            'nobody', coalesce(owner, 'nobody'))
        from account where state = 'open' and a % 3 <> 0""",
    "lines": """
        select shop || '|' || no, jsonb_build_object('shop', shop, 'no', no, 'sku', sku,
            'qty', qty, 'total', qty * price, 'mood', mood, 'day', day, 'code', code)
        from line where qty > 0""",
    "places": r"""
        select replace(replace(region, '\', '\\'), '|', '\|') || '|'
            || replace(replace(code, '\', '\\'), '|', '\|'), to_jsonb(place)
        from place""",
}

MOST_STEPS = 6
LATE_SHARE = 0.1
BETWEEN_SHARE = 0.05
SETTINGS = "-c deadlock_timeout=30ms -c lock_timeout=2s -c synchronous_commit=off"


@dataclass(frozen=True, slots=True)
class Plan:
    """What sessions do."""

    steps: Sequence[Step]
    """What a transaction may be made of."""
    mending: Sequence[str] = ()
    """What ends each transaction, so that it keeps the rules."""
    between: Sequence[str] = ()
    """What can't be in a transaction, and comes now and then between two."""
    late_seconds: float = 0.0
    """Some transactions stay open for as long as this before they commit."""
    tiring: int | None = None
    """After so many commits a session pauses 4 times as long, after twice as many 9 times."""
    settings: str = SETTINGS


def fill(dsn: str, rows: int = ACCOUNTS) -> None:
    """Make the tables, with some rows."""
    with psycopg.connect(dsn) as connection:
        connection.execute(SCHEMA)
    refill(dsn, rows)


def refill(dsn: str, rows: int = ACCOUNTS) -> None:
    """Add the rows that aren't there (any more)."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "insert into account select i, 'owner ' || i, i, i, i * 1.5, 'open'"
            " from generate_series(1, %s) i on conflict do nothing",
            [rows],
        )
        connection.execute(
            "insert into line select i %% 5, i, 's' || i, i %% 4, i * 0.25, i / 3.0"
            " from generate_series(1, %s) i on conflict do nothing",
            [rows],
        )


def broken_rule(alias: str, document: Any) -> str | None:
    """Which rule of every commit a document breaks."""
    if alias == "accounts":
        if document["a"] != document["b"]:
            return "a and b differ"
        if document["state"] == "temporary":
            return "the row never was there at a commit"
    if alias == "open_accounts" and int(document["sum"].text) % 2:
        return "a and b differ"
    return None


class Session(threading.Thread):
    """One connection that commits random transactions until it is told to stop."""

    def __init__(self, dsn: str, seed: int, pause_seconds: float, plan: Plan) -> None:
        super().__init__(daemon=True)
        self._dsn = dsn
        self._pause_seconds = pause_seconds
        self._random = random.Random(seed)
        self._plan = plan
        self._stop_asked = threading.Event()
        self.committed = 0
        self.rolled_back = 0
        self.rows = 0
        """Rows that were changed, also those of which the change was taken back."""

    def stop(self) -> None:
        """End after the transaction that is open."""
        self._stop_asked.set()

    def run(self) -> None:
        """Connect, again and again if the server goes away, and commit."""
        while not self._stop_asked.is_set():
            try:
                with psycopg.connect(
                    self._dsn, options=self._plan.settings, connect_timeout=5
                ) as connection:
                    self._work(connection)
            except psycopg.OperationalError:
                time.sleep(0.05)

    def _work(self, connection: psycopg.Connection) -> None:
        while not self._stop_asked.wait(self._random.uniform(0, self._longest_pause())):
            try:
                if self._plan.between and self._random.random() < BETWEEN_SHARE:
                    self._between(connection)
                self._transaction(connection)
            except psycopg.Error:
                if connection.broken or connection.closed:
                    raise
                connection.rollback()
                self.rolled_back += 1

    def _longest_pause(self) -> float:
        tired = self.committed / self._plan.tiring if self._plan.tiring else 0
        return self._pause_seconds * (1 + tired) ** 2

    def _between(self, connection: psycopg.Connection) -> None:
        connection.autocommit = True
        try:
            connection.execute(self._random.choice(self._plan.between).encode())
        finally:
            connection.autocommit = False

    def _transaction(self, connection: psycopg.Connection) -> None:
        with connection.cursor() as cursor:
            for _ in range(self._random.randint(1, MOST_STEPS)):
                if self._random.random() < 0.2:
                    self._part(cursor)
                else:
                    self._step(cursor)
            for statement in self._plan.mending:
                cursor.execute(statement)
        if self._random.random() < LATE_SHARE:
            self._stop_asked.wait(self._random.uniform(0, self._plan.late_seconds))
        if self._random.random() < 0.1:
            connection.rollback()
            self.rolled_back += 1
        else:
            connection.commit()
            self.committed += 1

    def _part(self, cursor: psycopg.Cursor) -> None:
        """A part that may be taken back, or that fails."""
        cursor.execute("savepoint part")
        try:
            self._step(cursor)
        except psycopg.Error:
            cursor.execute("rollback to part")
            return
        cursor.execute(self._random.choice(("rollback to part", "release part")))

    def _step(self, cursor: psycopg.Cursor) -> None:
        self._random.choice(self._plan.steps)(cursor, self._random)
        self.rows += max(0, cursor.rowcount)


class Load:
    """Several sessions at once, for as long as the context lasts."""

    def __init__(
        self,
        dsn: str,
        seed: int,
        sessions: int = 3,
        *,
        pause_seconds: float = 0.01,
        plan: Plan | None = None,
    ) -> None:
        self._sessions = [
            Session(dsn, seed + number, pause_seconds, plan or EVERYTHING)
            for number in range(sessions)
        ]

    def __enter__(self) -> Self:
        for session in self._sessions:
            session.start()
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions:
            session.stop()
        for session in self._sessions:
            session.join(30)
            assert not session.is_alive()

    @property
    def committed(self) -> int:
        """Transactions until now."""
        return sum(session.committed for session in self._sessions)

    @property
    def rows(self) -> int:
        """Rows that were changed until now."""
        return sum(session.rows for session in self._sessions)

    @property
    def rolled_back(self) -> int:
        """Transactions that failed or were given up."""
        return sum(session.rolled_back for session in self._sessions)


class Sampler(threading.Thread):
    """Searches again and again, and notes documents that no commit ever had, or that went back."""

    def __init__(self, opensearch: Rest, aliases: tuple[str, ...] = tuple(EXPECTED)) -> None:
        super().__init__(daemon=True)
        self._opensearch = opensearch
        self._aliases = aliases
        self._versions: dict[tuple[str, str], int] = {}
        self._stop_asked = threading.Event()
        self.samples = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join(60)
        assert not self.is_alive()

    def run(self) -> None:
        """Sample until stopped; a server that is away is no matter."""
        while not self._stop_asked.wait(0.05):
            for alias in self._aliases:
                try:
                    found = documents(self._opensearch, alias)
                except (OSError, Refused, AssertionError):
                    continue
                for key, (version, document) in found.items():
                    self._judge(alias, key, version, document)
                    self.samples += 1

    def _judge(self, alias: str, key: str, version: int, document: Any) -> None:
        if rule := broken_rule(alias, document):
            self.wrong.append(f"{alias} {key}: {rule}: {document}")
        if version < self._versions.get((alias, key), 0):
            self.wrong.append(f"{alias} {key} went back to version {version}")
        self._versions[alias, key] = version


MENDING = (
    "update account set b = a where a <> b",
    "delete from account where state = 'temporary'",
)
EVERYTHING = Plan(STEPS, MENDING)
WITHOUT_TRUNCATE = Plan([step for step in STEPS if step is not truncate], MENDING)
