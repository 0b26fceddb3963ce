"""Bad input: each mistake is one paragraph that says what to do, and an exit code of its kind."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.acceptance.conftest import TABLES, Shop, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.opensearch.tlsproxy import Certificates, Proxy

CONFIGURATION, SOURCE, SINK, SLOT_IN_USE, LOCAL, OTHER = 2, 3, 4, 5, 6, 1
READ_ONLY = {"bearer_token": "read-only"}
"""What the proxy lets read, but make nothing."""


def changed(dsn: str, **parts: str) -> str:
    """The DSN with host, port, password or database changed."""
    whole = urlsplit(dsn)
    given = {
        "user": whole.username,
        "password": whole.password,
        "host": whole.hostname,
        "port": whole.port,
        "database": whole.path.lstrip("/"),
        **parts,
    }
    return "postgresql://{user}:{password}@{host}:{port}/{database}".format(**given)


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_wrong_host(shop: Shop) -> None:
    """A host that doesn't exist is named, with the setting to check."""
    shop.configure(source=shop.source(dsn=changed(shop.dsn, host="no-such-host.invalid")))
    shop.fails(SOURCE, "no-such-host.invalid", "`source` section")
    assert shop.made() == set()


def test_wrong_port(shop: Shop, free_port: int) -> None:
    """A port where no server listens is named, with what to check."""
    shop.configure(source=shop.source(dsn=changed(shop.dsn, port=str(free_port))))
    shop.fails(SOURCE, f"127.0.0.1:{free_port}", "Check that it runs")
    assert shop.made() == set()


def test_wrong_password(shop: Shop) -> None:
    """A wrong password stops at once; neither the wrong nor the right one is shown."""
    shop.secrets.add("not-the-password")
    wrong = {"password": "not-the-password"}
    shop.configure(source=shop.source(dsn=changed(shop.dsn, **wrong)))
    shop.fails(SOURCE, "password authentication failed", "source.dsn")
    assert shop.made() == set()


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:s3cr3t@localhost:x/db",
        "postgresql://u:s3cr3t%zz@localhost/db",
        "postgresql://u:pass/s3cr3t@localhost:5432/db",
        "host=localhost pasword=s3cr3t",
        "host=localhost password='s3cr3t",
    ],
)
def test_unreadable_dsn(shop: Shop, dsn: str) -> None:
    """A DSN that libpq can't read: how to write it, and no piece of the password."""
    shop.secrets.add("s3cr3t")
    shop.configure(source=shop.source(dsn=dsn))
    shop.fails(SOURCE, "source.dsn", "%40 for @")


def test_wrong_database(shop: Shop) -> None:
    """A database that doesn't exist is named."""
    shop.configure(source=shop.source(dsn=changed(shop.dsn, database="nowhere")))
    shop.fails(SOURCE, 'database "nowhere" does not exist', "source.dsn")
    assert shop.made() == set()


def test_missing_table(shop: Shop) -> None:
    """A table that doesn't exist is named together with the one that was probably meant."""
    shop.configure(projections=shop.projections(**{"from": "public.hotl"}))
    shop.fails(SOURCE, "public.hotl", "public.hotel")
    assert shop.made() == set()


def test_missing_column(shop: Shop) -> None:
    """A column that doesn't exist is a mistake with its line, and the nearest name."""
    shop.configure(projections=shop.projections(fields={"id": None, "nam": None}))
    shop.fails(CONFIGURATION, "cdc-daemon.yaml:", "no column nam; did you mean name?")
    assert shop.made() == set()


def test_rules_for_columns_that_do_not_fit(shop: Shop) -> None:
    """A rule for no column, with the nearest name, or not for that type; each with its line."""
    rules = [{"match": "public.hotel.nmae", "mask": "***"}, {"match": "stars", "truncate": 3}]
    shop.configure(source=shop.source(columns=rules))
    shop.fails(CONFIGURATION, "cdc-daemon.yaml:", "columns[0].match", "public.hotel.name")
    shop.configure(source=shop.source(columns=rules[1:]))
    shop.fails(CONFIGURATION, "cdc-daemon.yaml:", "columns[0].truncate", "hotel.stars is integer")
    assert shop.made() == set()


def test_excluded_column(shop: Shop) -> None:
    """A mapping that names a column which a rule excludes is told so, with its line."""
    rules = [{"match": "*.nam*", "exclude": True}]
    shop.configure(source=shop.source(columns=rules))
    shop.fails(CONFIGURATION, "cdc-daemon.yaml:", "column name of table public.hotel is excluded")
    assert shop.made() == set()


def test_bad_expression(shop: Shop) -> None:
    """An expression that PostgreSQL would refuse is a mistake with its line."""
    shop.configure(projections=shop.projections(where="stars > name"))
    shop.fails(CONFIGURATION, "cdc-daemon.yaml:", "where")
    assert shop.made() == set()


def test_unknown_key(shop: Shop) -> None:
    """An unknown key is a mistake with its line, found before anything is connected to."""
    shop.configure(sendrs=3)
    shop.fails(CONFIGURATION, "cdc-daemon.yaml:", "unknown key", '"senders"')
    assert shop.made() == set()


def test_missing_file(shop: Shop) -> None:
    """A configuration that isn't there is named."""
    shop.file.unlink()
    shop.fails(CONFIGURATION, "cdc-daemon.yaml", "no such file", "cdc-daemon init")


def test_missing_publication_right(shop: Shop, reader: str) -> None:
    """Without the right to publish, the SQL for the owner is shown; running it mends it."""
    shop.configure(source=shop.source(dsn=reader))
    result = shop.fails(SOURCE, "publication.manage", "create publication")
    assert shop.made() == set()

    shop.query(result.message.partition("\n")[2])
    publication = {"manage": False}
    shop.configure(source=shop.source(dsn=reader, publication=publication))
    with running(shop):
        assert f"slot {shop.name}" in shop.made()


def test_missing_table_right(shop: Shop, reader: str) -> None:
    """Without the right to read a table, the grant is shown, and nothing is made."""
    shop.query(f"revoke select on hotel from {urlsplit(reader).username}")
    shop.configure(source=shop.source(dsn=reader))
    shop.fails(SOURCE, "may not read table public.hotel", "grant select on")
    assert shop.made() == set()


def test_missing_replication_right(shop: Shop, reader: str) -> None:
    """Without the right to replicate, the statement that gives it is shown."""
    role = urlsplit(reader).username
    shop.query(f"alter role {role} noreplication")
    shop.configure(source=shop.source(dsn=reader))
    shop.fails(SOURCE, "may not replicate", f'alter role "{role}" replication')
    assert shop.made() == set()


def test_wal_level(private_postgres: Any, opensearch: Any, tmp_path: Path) -> None:
    """A server that isn't set up for logical replication: the SQL, and that it takes a restart."""
    server = private_postgres(settings={"wal_level": "replica"})
    shop = Shop(tmp_path, server.dsn, opensearch.url, secrets={server.password})
    shop.query(TABLES)
    shop.configure()
    shop.fails(SOURCE, "wal_level is replica", "alter system set wal_level = 'logical'", "restart")
    assert shop.made() == set()


@pytest.mark.parametrize(
    ("sql", "projection", "code", "mended_by"),
    [
        ("", {"from": "public.keyless", "fields": "*"}, CONFIGURATION, "name the columns"),
        (
            "",
            {"from": "public.keyless", "fields": "*", "id": ["name"]},
            CONFIGURATION,
            "create unique index on public.keyless (name)",
        ),
        (
            "alter table hotel replica identity nothing",
            {"from": "public.hotel", "fields": {"id": None}},
            SOURCE,
            'alter table "public"."hotel" replica identity full',
        ),
    ],
    ids=["no key", "no key but an id", "identity nothing"],
)
def test_no_replica_identity(
    shop: Shop, sql: str, projection: dict[str, Any], code: int, mended_by: str
) -> None:
    """A table whose UPDATEs would begin to fail is refused before the publication is touched."""
    shop.query(f"{sql}; create publication {shop.name} for table only booking")
    before = shop.query("select * from pg_publication_tables")
    shop.configure(projections=shop.projections() | {f"{shop.pipeline}_more": projection})
    shop.fails(code, mended_by)
    assert shop.query("select * from pg_publication_tables") == before
    assert shop.made() == {f"publication {shop.name}"}


def test_unreachable_opensearch(shop: Shop, free_port: int) -> None:
    """An OpenSearch that isn't there is named; nothing is made in the source."""
    shop.configure(sink=shop.sink(hosts=[f"http://127.0.0.1:{free_port}"]))
    result = shop.fails(SINK, f"http://127.0.0.1:{free_port} can't be reached", "sink.hosts")
    assert result.message.count("Check") == 1
    assert shop.made() == set()


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"user": "daemon", "password": "wr0ng-secret"},
        {"api_key": "wr0ng-secret"},
        {"bearer_token": "wr0ng-secret"},
    ],
    ids=["none", "password", "api key", "token"],
)
def test_wrong_credentials(
    shop: Shop, proxy: Proxy, certificates: Certificates, credentials: dict[str, str]
) -> None:
    """Credentials that a cluster doesn't accept: the settings are named, the secrets not shown."""
    shop.secrets.add("wr0ng-secret")
    shop.configure(sink=shop.sink(hosts=[proxy.url], ca=str(certificates.ca), **credentials))
    shop.fails(SINK, "does not accept the credentials", "sink.password")
    assert shop.made() == set()


def test_missing_right_in_the_cluster(shop: Shop, proxy: Proxy, certificates: Certificates) -> None:
    """An account that may not make an index: what it may not do, and where the rights are."""
    shop.configure(sink=shop.sink(hosts=[proxy.url], ca=str(certificates.ca), **READ_ONLY))
    shop.fails(SINK, "The account we use may not", "permissions listed")
    assert shop.made() == {f"publication {shop.name}"}


def test_what_a_failed_start_made_is_reported(
    shop: Shop, proxy: Proxy, certificates: Certificates
) -> None:
    """A publication that a failed start leaves behind is named in the log, with its event."""
    shop.configure(sink=shop.sink(hosts=[proxy.url], ca=str(certificates.ca), **READ_ONLY))
    result = shop.fails(SINK)
    assert "publication_made" in result.events
    assert shop.name in result.stderr


def test_folder_of_local_files(shop: Shop) -> None:
    """One that can't be made is named before anything is, and not by a large transaction later."""
    shop.configure(state={"path": str(shop.file / "data")})
    shop.fails(LOCAL, str(shop.file / "data"), "state.path")
    assert shop.made() == set()


def test_web_port_taken(shop: Shop) -> None:
    """A web address that somebody else uses is named, and nothing is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        shop.configure(web={"listen": listen})
        shop.fails(OTHER, listen, "web.listen")
    assert shop.made() == set()


def test_slot_in_use_at_the_first_start(shop: Shop) -> None:
    """A slot that somebody reads: after slot_wait the process is named; nothing else is made."""
    with holding(shop.dsn, shop.name):
        result = shop.fails(SLOT_IN_USE, f"slot {shop.name}", "pid", "pg_terminate_backend")
        assert shop.made() == {f"slot {shop.name}"}
    assert "waiting_for_slot" in result.events


@pytest.mark.parametrize(
    "changes",
    [{}, {"where": "stars > 2"}],
    ids=["same", "other mapping"],
)
def test_slot_in_use_by_another_daemon(shop: Shop, changes: dict[str, str]) -> None:
    """A second daemon of the same pipeline gives up, and the first goes on undisturbed."""
    with running(shop) as first:
        before = shop.made()
        shop.configure(projections=shop.projections(**changes))
        shop.fails(SLOT_IN_USE, f"slot {shop.name}", "another daemon")
        assert shop.made() == before
        shop.query("insert into hotel values (100, 'New', 1)")
        first.catch_up()
    with running(shop.reconfigured()) as again:
        made = again.events("new_generation")
        assert len(made) == len({event["projection"] for event in made}), "only the first start"


@contextmanager
def holding(dsn: str, slot: str) -> Iterator[None]:
    """Somebody reads from a slot of that name."""
    connection = psycopg.connect(dsn, autocommit=True, replication="database")
    try:
        connection.execute(f'CREATE_REPLICATION_SLOT "{slot}" LOGICAL pgoutput'.encode())
        connection.execute(
            f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0'
            " (proto_version '1', publication_names 'any')".encode()
        )
        yield
    finally:
        connection.close()
