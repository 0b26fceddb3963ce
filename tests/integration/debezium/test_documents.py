"""Read models of the real Debezium's topics are those of the database that it follows."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.generators.daemons import daemons
from tests.generators.debezium import FLATTENED, WITH_SCHEMAS, WITHOUT_SCHEMAS, Followed, avro
from tests.generators.read_tables import TableSearch
from tests.generators.running_daemon import until
from tests.generators.topics import make_topics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import psycopg

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.debezium import ConnectServer
    from tests.generators.schema_registry import RegistryServer

TABLE = """
create table hotel (
    id int primary key, name text, stars smallint, price numeric(8,2), rate double precision,
    opened date, checked timestamptz(3), at time, tags text[], more jsonb, big text
);
alter table hotel alter column big set storage external;
alter table hotel replica identity full
"""
"""Without that identity no message has a large value that an update leaves as it is."""
BEFORE = """
insert into hotel values
    (1, 'Astoria', 4, 120.50, 0.1, '1999-05-01', '2024-02-29 12:34:56.789+01', '12:34', '{a,NULL}',
     '{"a": 1.50}', repeat('x', 3000)),
    (2, 'Bellevue', null, null, 'NaN', '0044-03-15', 'infinity', null, '{}', 'true', null),
    (3, 'gone soon', 1, 1, 1, null, null, null, null, null, null)
"""
AFTER = (
    "insert into hotel (id, name, price) values (4, E'\"☕\\\\', -0.05)",
    "update hotel set stars = 5 where id = 1",
    "update hotel set id = 20 where id = 2",
    "delete from hotel where id = 3",
    "insert into hotel (id, name) values (99, 'last')",
)
COLUMNS = {
    "id": "int",
    "name": "text",
    "stars": "smallint",
    "price": "numeric(8,2)",
    "rate": "float8",
    "opened": "date",
    "checked": "timestamptz(3)",
    "at": "time",
    "tags": "text[]",
    "more": "jsonb",
    "big": "text",
}
ONLY_HOTELS = {"publication.autocreate.mode": "filtered", "table.include.list": "public.hotel"}
"""Read tables are in the same database and have no topics: Debezium would wait for those."""
TRANSACTIONS = {"provide.transaction.metadata": "true"}
FORMS = {
    "plain": ("debezium", WITHOUT_SCHEMAS),
    "schemas": ("debezium", WITH_SCHEMAS),
    "transactions": ("debezium", {**WITHOUT_SCHEMAS, **TRANSACTIONS}),
    "flattened": ("flattened", {**WITHOUT_SCHEMAS, **FLATTENED}),
    "flattened-schemas": ("flattened", {**WITH_SCHEMAS, **FLATTENED}),
    "avro": ("debezium", TRANSACTIONS),
    "flattened-avro": ("flattened", FLATTENED),
}
"""How messages are read, and what the connector is told; in Avro, where the registry is as well."""


class Form(NamedTuple):
    """One form of messages."""

    format: str
    settings: Mapping[str, str]
    """What the connector is told."""
    schema_registry: Mapping[str, str] | None
    """What the source is told."""


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    """Each of them."""
    format_, settings = FORMS[request.param]
    if not request.param.endswith("avro"):
        return Form(format_, settings, None)
    registry: RegistryServer = request.getfixturevalue("registry")
    return Form(format_, {**settings, **avro(registry.own_url)}, {"url": registry.url})


def test_documents_are_those_of_the_database(
    connect: ConnectServer,
    kafka: embedded.KafkaServer,
    database: Database,
    connection: psycopg.Connection,
    tmp_path: Path,
    form: Form,
) -> None:
    """Of rows that were there, and of everything that became of them, in each form of messages."""
    followed = Followed(database.dsn, f"shop_{uuid.uuid4().hex[:8]}")
    topics = [f"{followed.prefix}.{name}" for name in ("public.hotel", "transaction")]
    connection.execute(TABLE)
    connection.execute(BEFORE)
    make_topics(kafka.bootstrap_servers, topics)
    source = {
        "type": "kafka",
        "bootstrap_servers": kafka.bootstrap_servers,
        "format": form.format,
        "transactions": topics[1] if form.settings.keys() & TRANSACTIONS else None,
        "schema_registry": form.schema_registry,
        "tables": {"public.hotel": {"topic": topics[0], "key": ["id"], "columns": COLUMNS}},
    }
    sink = {"type": "postgres", "dsn": database.dsn}
    search = TableSearch(database.dsn)
    with (
        connect.following(followed, {**ONLY_HOTELS, **form.settings}),
        daemons(database.dsn, sink, tmp_path) as through,
        daemons(database.dsn, sink, tmp_path) as direct,
    ):
        _start(through, "through", source)
        _start(direct, "direct", {})
        for statement in AFTER:
            connection.execute(statement)
        connect.wait(lambda: "99" in _documents(search, "through"), followed)
        until(lambda: "99" in _documents(search, "direct"), 60.0, "the last row is shown")
        assert _documents(search, "through") == _documents(search, "direct")


def _start(make: StartDaemon, model: str, source: dict[str, Any]) -> None:
    """A daemon with one read model."""
    projections = {model: {"from": "public.hotel", "fields": "*"}}
    daemon = make(projections, source=source, folder=model, start=False)
    if source:  # there is no connection string in it
        written = json.loads(daemon.file.read_text())
        daemon.file.write_text(json.dumps({**written, "source": source}))
    daemon.start()
    daemon.wait_until()


def _documents(search: TableSearch, model: str) -> dict[str, Any]:
    """What a read model shows, by the ids."""
    return {one["_id"]: one["_source"] for one in search.hits(model)}
