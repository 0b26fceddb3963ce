"""Random mappings over random worlds: the oracle's SQL yields what the plan means."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.projection.joined.plan import levels_of
from cdc_daemon.projection.joined.sql import documents_sql
from cdc_daemon.values import SESSION_SETTINGS, json_encoder
from connectors.postgres.catalog import describe
from tests.generators import worlds
from tests.generators.budget import rounds, seeded
from tests.generators.evaluator import documents
from tests.generators.json_meaning import parse
from tests.generators.mappings import random_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Relation
    from cdc_daemon.projection.joined.plan import Plan
    from tests.conftest import Database

MAPPINGS = 6
FILLINGS = 2
ORACLE_SECONDS = 20
"""Now and then SQL goes so many ways over the same rows that it would take for ever."""


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session whose texts are those of the stream."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for name, value in SESSION_SETTINGS.items():
            connection.execute(f"set {name} = '{value}'".encode())
        connection.execute("set jit = off")  # compiling such a statement takes longer
        connection.execute(f"set statement_timeout = '{ORACLE_SECONDS}s'".encode())
        yield connection


def test_the_sql_of_random_mappings_yields_what_the_plan_means(
    connection: psycopg.Connection,
) -> None:
    """Every document, and one alone by its id, in every kind of embed to any depth."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    for number in rounds():
        world = worlds.random_world(rng, f"w{number}")
        _run(connection, [*world.ddl, f'set search_path = "{world.ddl[0].split(chr(34))[1]}"'])
        relations = _relations(connection, world)
        mappings = [random_mapping(rng, world) for _ in range(MAPPINGS)]
        plans = [
            (mapping, plan) for mapping in mappings if (plan := _plan(mapping, relations, counts))
        ]
        for _ in range(FILLINGS):
            _run(connection, [f"truncate {', '.join(table.sql for table in world.tables)}"])
            worlds.fill(rng, world)
            _run(connection, ["begin", *world.inserts, "commit"])
            for mapping, plan in plans:
                try:
                    _compare(connection, world, mapping, plan, counts, seed)
                except psycopg.errors.QueryCanceled:
                    counts["too slow"] += 1
        _run(connection, world.drop)
        counts["worlds"] += 1
    print(f"plans: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["documents"]
    assert counts["too slow"] * 10 < counts["documents"]
    assert counts["too large"] * 10 < counts["mappings"]


def _run(connection: psycopg.Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.execute(statement.encode())


def _relations(connection: psycopg.Connection, world: worlds.World) -> dict[str, Relation]:
    names = [table.qualified for table in world.tables]
    found = describe(connection, [TableRequest(name) for name in names])
    return dict(zip(names, found, strict=True))


def _plan(
    mapping: dict[str, Any], relations: dict[str, Relation], counts: Counter[str]
) -> Plan | None:
    config = ProjectionConfig.model_validate(mapping)
    if not config.is_joined:
        return None
    counts["mappings"] += 1
    try:
        (plan,) = compile_projections({"p": config}, relations, lambda *_: "").plans
    except ConfigurationError as error:
        if "embeds in one projection" in str(error):
            counts["too large"] += 1
            return None
        raise AssertionError(worlds.shown(mapping)) from error
    for level in levels_of(plan.root):
        counts.update(embed.kind for embed in level.embeds)
    return plan


def _compare(
    connection: psycopg.Connection,
    world: worlds.World,
    mapping: dict[str, Any],
    plan: Plan,
    counts: Counter[str],
    seed: int,
) -> None:
    statement = documents_sql(plan)
    found = _documents(connection, statement)
    meant = documents(plan, _tables(connection, plan))
    where = f"\n{worlds.shown(mapping)}\n{worlds.describe(world)}\n{statement}\n(seed {seed})"
    assert found.keys() == meant.keys(), where
    for key, document in meant.items():
        assert found[key] == document, f"{key}: {found[key]}\nmeant: {document}{where}"
    for key in list(meant)[:1]:
        alone = _documents(connection, documents_sql(plan, key))
        assert alone == {key: meant[key]}, where
    counts["documents"] += len(meant)


def _documents(connection: psycopg.Connection, statement: str) -> dict[str, Any]:
    rows = connection.execute(f"select id, document::text from ({statement}) d".encode())
    return {key: parse(document) for key, document in rows}


def _tables(connection: psycopg.Connection, plan: Plan) -> dict[str, list[dict[str, bytes]]]:
    return {relation.qualified_name: _rows(connection, relation) for relation in plan.relations}


def _rows(connection: psycopg.Connection, relation: Relation) -> list[dict[str, bytes]]:
    """As the stream would have them."""
    names = ", ".join(worlds.quoted(column.name) for column in relation.columns)
    table = f"{worlds.quoted(relation.schema)}.{worlds.quoted(relation.name)}"
    result = connection.execute(f"select {names} from {table}".encode()).pgresult
    assert result is not None
    encoders = [json_encoder(column.type) or bytes for column in relation.columns]
    return [
        {
            column.name: b"null" if value is None else encode(value)
            for at, (column, encode) in enumerate(zip(relation.columns, encoders, strict=True))
            for value in [result.get_value(line, at)]
        }
        for line in range(result.ntuples)
    ]
