"""`cdc-daemon init` as people use it: what it writes is valid, and can be run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.config import load
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_projections
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.generators import forked

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.conftest import Database
    from tests.integration.postgres.conftest import Connection, MakeRole

SHOP = """
create type mood as enum ('sad', 'ok');
create table hotel (
  id bigint generated always as identity primary key, name text not null, city varchar(40),
  price numeric(10,2), tags text[], mood mood, data jsonb, "Weird $Name" int, "_hidden" int,
  "hidden" int, "a.b" int, "no" bool, "two\nlines" int,
  twice int generated always as (id::int) stored
);
create table booking (hotel_id bigint, day date, primary key (hotel_id, day))
  partition by list (day);
create table booking_1 partition of booking for values in ('2026-01-01');
create table "null" (id uuid primary key);
create table without_key (a int);
create table by_hand (a int); alter table by_hand replica identity full;
create unlogged table volatile_one (id int primary key);
create table key_of_ranges (r int4range primary key);
create view shown as select 1 as id;
create schema "Ä b"; create table "Ä b"."Hotel" (id int primary key);
create schema sales; create table sales.hotel (id int primary key);
create table "dot.ted" (id int primary key);
create table hotels_000001 (_id text primary key);
comment on table hotels_000001 is 'cdc-daemon read table {}';
create table cdc_daemon_checkpoint (pipeline text primary key);
create schema cdc_daemon; comment on schema cdc_daemon is 'cdc-daemon: the outbox of pipeline shop';
create table cdc_daemon.read (position bigint primary key);
"""


def init(
    *arguments: str, folder: Path, dsn: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    given = ["--dsn", dsn] if dsn else []
    return command("init", *given, *arguments, folder=folder, **environment)


def command(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `cdc-daemon`."""
    without = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    whole = {**without, "NO_COLOR": "1", **environment}
    return forked.command(*arguments, folder=folder, environment=whole)


@pytest.fixture
def shop(connection: Connection) -> None:
    """Tables of every sort."""
    connection.execute(SHOP)


@pytest.mark.usefixtures("shop")
def test_what_it_writes_is_valid_and_fits(database: Database, tmp_path: Path) -> None:
    """All tables that can be followed, with their columns; the others with a reason."""
    result = init(dsn=database.dsn, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "DATABASE_URL" in result.stderr
    file = tmp_path / "cdc-daemon.yaml"
    text = file.read_text()
    assert database.server.password not in text
    assert "dsn: ${DATABASE_URL}" in text
    environ = {"DATABASE_URL": database.dsn}
    checked = command("validate", folder=tmp_path, **environ)
    assert (checked.returncode, checked.stdout) == (0, "ok\n"), checked.stderr
    loaded = load(file, environ)
    projections = loaded.configuration.projections
    tables = {name: config.table for name, config in projections.items()}
    assert tables == {
        "hotel": "public.hotel",
        "booking": "public.booking",
        "t_null": "public.null",
        "sales_hotel": "sales.hotel",
        "b_hotel": "Ä b.Hotel",
    } | ({"key_of_ranges": "public.key_of_ranges"} if "key_of_ranges" in tables else {})
    for line in (
        "# key: hotel_id, day",
        "price:  # numeric(10,2)",
        "name:  # text not null",
        "city: {type: keyword}  # character varying(40)",
        "twice:  # integer",
        "#   public.without_key: ",
        "#   public.by_hand: public.by_hand has no primary key",
        "#   public.volatile_one: table public.volatile_one is unlogged",
        "#   public.shown: public.shown is a view",
        "#   public.dot.ted: ",
        "#   public.hotels_000001: table public.hotels_000001 is a read table",
        "#   public.cdc_daemon_checkpoint: table public.cdc_daemon_checkpoint is one that",
        "#   cdc_daemon.read: table cdc_daemon.read is one that cdc-daemon keeps for itself",
    ):
        assert line in text, text
    config = PostgresConfig.model_validate({"type": "postgres", "dsn": database.dsn})
    source = PostgresSource(config, pipeline="init")
    relations = source.describe([TableRequest(table) for table in tables.values()])
    by_name = dict(zip(tables.values(), relations, strict=True))
    compiled = compile_projections(projections, by_name, loaded.locate)
    source.prepare(compiled.relations)
    source.close()
    assert len(compiled.projections) == len(tables)
    hotel = next(each for each in compiled.projections if each.name == "hotel")
    assert {"Weird $Name", "hidden", "_hidden", "a.b", "no", "two\nlines", "tags"} <= set(
        hotel.columns_shown.values()
    )


@pytest.mark.usefixtures("shop")
def test_tables_can_be_chosen(database: Database, tmp_path: Path) -> None:
    """Only those, in that order, under another name; by the environment's connection string."""
    result = init(
        *("--table", "sales.hotel", "--table", "booking", "--name", "my-shop", "--output", "-"),
        folder=tmp_path,
        DATABASE_URL=database.dsn,
    )
    assert result.returncode == 0, result.stderr
    assert "name: my-shop\n" in result.stdout
    assert "cdc_my_shop" in result.stdout
    assert result.stdout.index("sales.hotel") < result.stdout.index("public.booking")
    assert "public.hotel" not in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("shop")
def test_a_file_is_not_replaced_unless_forced(database: Database, tmp_path: Path) -> None:
    """Somebody's work may be in it."""
    file = tmp_path / "my.yaml"
    file.write_text("precious")
    result = init("--output", str(file), dsn=database.dsn, folder=tmp_path)
    assert result.returncode == 2
    assert "--force" in result.stderr
    assert file.read_text() == "precious"
    assert init("--output", str(file), "--force", dsn=database.dsn, folder=tmp_path).returncode == 0
    assert "projections:" in file.read_text()


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--table", "hotl"], "did you mean public.hotel"),
        (["--table", "without_key"], "replica identity full"),
        (["--table", "shown"], "is a view"),
        (["--name", "No Such Name"], "expected a name"),
        (["--output", "no/such/folder.yaml"], "No such file"),
        (["--dsn", "nonsense"], "--dsn is no connection string"),
    ],
)
def test_what_can_not_be_done_is_said(
    database: Database, tmp_path: Path, arguments: list[str], says: str
) -> None:
    """One message, and no file."""
    result = init(*arguments, dsn=database.dsn, folder=tmp_path)
    assert result.returncode in {2, 3}
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_has_nothing_to_map(database: Database, tmp_path: Path) -> None:
    """It says so, and writes nothing."""
    result = init(dsn=database.dsn, folder=tmp_path)
    assert result.returncode == 3
    assert "no tables at all" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("shop")
def test_tables_that_may_not_be_read_are_left_out(
    database: Database, tmp_path: Path, connection: Connection, make_role: MakeRole
) -> None:
    """A role maps what it may read."""
    name, dsn = make_role("login")
    connection.execute(f'grant select on hotel to "{name}"'.encode())
    result = init("--output", "-", dsn=dsn, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "from: public.hotel" in result.stdout
    assert "#   public.booking: the role may not read public.booking" in result.stdout
    assert "geheim" not in result.stdout + result.stderr
    assert database.name in result.stdout
