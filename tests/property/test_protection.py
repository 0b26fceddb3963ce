"""Random rules on random tables through a real slot and a real COPY, with PostgreSQL as the oracle.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.ports import TableRequest
from cdc_daemon.values import SESSION_SETTINGS
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.existing_rows import existing_rows
from tests.generators.json_meaning import parse
from tests.generators.pg_scalars import random_text
from tests.generators.pg_values import PgType, literal, scalar
from tests.property.test_stream import Mirror, RandomTable, follow, key_of, supported_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from tests.conftest import Database

Connection = psycopg.Connection[tuple[Any, ...]]

TEXTS = ("text", "varchar(20)", "char(7)", "nickname")
OTHERS = 8
ROWS = 6
TRANSACTIONS = 6
LENGTHS = (1, 2, 3, 5, 8, 100, 2500)


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """Writes, and asks the oracle under the session settings that the daemon has."""
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    with psycopg.connect(database.dsn, autocommit=True, options=options) as connection:
        connection.execute("create domain nickname as varchar(30)")
        yield connection


@dataclass
class Rule:
    """A rule, and what PostgreSQL makes of a column by it."""

    said: dict[str, Any]
    shown: Callable[[str], str] | None
    """SQL for a column's name; None where nothing is left of it."""


def random_rule(rng: Random, *, is_text: bool) -> Rule:
    """One that fits the type."""
    kinds = ["hash", "mask", "exclude"] + ["truncate"] * (3 if is_text else 0)
    match rng.choice(kinds):
        case "hash":
            return random_hash(rng)
        case "mask":
            text = rng.choice(["***", "", "100 % \"'\\", "ünsichtbar"])
            return Rule({"mask": text}, lambda _: f"to_json(cast({literal(text)} as text))")
        case "truncate":
            length = rng.choice(LENGTHS)
            return Rule(
                {"truncate": length}, lambda name: f"to_json(left(concat({name}), {length}))"
            )
    return Rule({"exclude": True}, None)


def random_hash(rng: Random) -> Rule:
    """Any salt, any digest."""
    salt = random_text(rng) + "0123456789abcdef"
    algorithm = rng.choice(["sha256", "sha384", "sha512"])

    def shown(name: str) -> str:
        text = f"convert_to(concat({literal(salt)}, {name}), 'UTF8')"
        return f"to_json(encode({algorithm}({text}), 'hex'))"

    return Rule({"hash": {"salt": salt, "algorithm": algorithm}}, shown)


@dataclass
class ProtectedTable(RandomTable):
    """A random table of which some columns have a rule; the oracle shows it as protected."""

    rules: dict[str, Rule] = field(default_factory=dict)

    def look(self) -> None:
        """Ask the server what may be seen of the table."""
        names = ["id", *(f"c{at}" for at in range(len(self.types)))]
        shown = {name: sql for name in names if (sql := self._shown(name)) is not None}
        query = f"select {', '.join(shown.values())} from {self.name}"
        rows = self.connection.execute(query.encode()).fetchall()
        self.oracle.append(
            {
                row[0]: {name: parse(text) for name, text in zip(shown, row, strict=True)}
                for row in rows
            }
        )

    def _shown(self, column: str) -> str | None:
        rule = self.rules.get(column, Rule({}, lambda name: f"to_json({name})"))
        if rule.shown is None:
            return None
        # `is null` is true of a composite value whose attributes are all NULL
        shown = f"{rule.shown(column)}::text"
        return f"case when {column} is distinct from null then {shown} else 'null' end"


def random_table(connection: Connection, rng: Random, name: str, others: list[PgType]) -> Any:
    """Texts with and without rules, and other types that all have one."""
    texts = [scalar("text", sql=each) for each in TEXTS]
    table = ProtectedTable(connection, rng, name, texts + others, full=rng.random() < 0.4)
    for at in range(len(table.types)):
        if at >= len(texts) or rng.random() < 0.8:
            table.rules[f"c{at}"] = random_rule(rng, is_text=at < len(texts))
    if rng.random() < 0.5:
        table.rules["id"] = random_hash(rng)
    return table


def protecting_source(database: Database, table: ProtectedTable) -> PostgresSource:
    """A source with the rules of the table."""
    rules = [
        {"match": table.rng.choice(["", f"{table.name}.", f"public.{table.name}."]) + name}
        | rule.said
        for name, rule in table.rules.items()
    ]
    section = {"type": "postgres", "dsn": database.dsn, "slot": database.name, "columns": rules}
    return PostgresSource(PostgresConfig.model_validate(section), pipeline="property")


def test_protected_rows_are_what_sql_makes_of_them(
    connection: Connection, database: Database
) -> None:
    """Every type and random texts, hashed, masked, truncated: streamed and copied, keys too."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    with repeatable(seed):
        wanted = list(supported_types(connection).values())
        for number in rounds():
            table = random_table(connection, rng, f"t{number}", rng.sample(wanted, OTHERS))
            source = protecting_source(database, table)
            try:
                check(table, source, counts)
            finally:
                source.close()
            connection.execute(f"drop table {table.name}")
            counts["tables"] += 1
    print(f"protection: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["values"]


def check(table: ProtectedTable, source: PostgresSource, counts: Counter[str]) -> None:
    """Rows before by COPY, rows after by the stream, compared after every transaction."""
    table.create()
    for _ in range(ROWS):
        table.connection.execute(table.insert().encode())
    table.look()
    relations = source.describe([TableRequest(f"public.{table.name}")])
    excluded = {name for name, rule in table.rules.items() if rule.shown is None}
    assert set(relations[0].excluded) == excluded
    assert excluded.isdisjoint(column.name for column in relations[0].columns)
    source.prepare(relations)
    mirror = Mirror(table, relations[0], counts)
    place = source.create_place()
    mirror.rows = {key_of(row): row for row in existing_rows(source, relations[0])}
    mirror.compare(table.oracle[0])
    source.start(relations, place)
    for _ in range(TRANSACTIONS):
        table.transact()
    transactions = follow(source, TRANSACTIONS)
    for changes, expected in zip(transactions, table.oracle[1:], strict=True):
        for change in changes:
            mirror.apply(change)
        mirror.compare(expected)
    counts.update(next(iter(rule.said)) for rule in table.rules.values())
