"""The SQL of docs/how-to/least-privileges.md, run as it stands: it is enough, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.errors import SourceError
from cdc_daemon.ports import TableRequest
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.conftest import VERSIONS
from tests.generators.existing_rows import existing_rows
from tests.generators.waits import BARE, WHOLE, committed
from tests.integration.postgres.conftest import read_commits, with_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartPostgres

PAGE = (Path(__file__).parents[3] / "docs/how-to/least-privileges.md").read_text(encoding="utf-8")
TABLES = """
create table hotel (id int primary key, name text, secret text);
create table booking (id int primary key);
create table review (id int primary key);
insert into hotel values (1, 'Sacher', 'x');
"""
EVERY_VERSION = pytest.mark.parametrize("shop", VERSIONS, indirect=True)


def blocks(heading: str) -> list[str]:
    """The SQL of a section, block by block."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    return re.findall(r"^```sql\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


class Shop:
    """The database of the page on a server of its own, whose names are those of the page."""

    def __init__(self, dsn: str) -> None:
        self._superuser = with_settings(dsn, dbname="shop")
        self._sources: list[PostgresSource] = []
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("create role shop_owner login password 'owner'")
            connection.execute("create database shop owner shop_owner")
        self.superuser("grant create, usage on schema public to shop_owner")
        self.owner(TABLES)

    def superuser(self, script: str) -> None:
        """Run it as the superuser."""
        self._run(self._superuser, script)

    def owner(self, script: str) -> None:
        """Run it as the owner of the tables."""
        self._run(with_settings(self._superuser, user="shop_owner", password="owner"), script)  # noqa: S106 - a test's

    def daemon(self, script: str) -> None:
        """Run it as the daemon's role."""
        self._run(self.dsn, script)

    def _run(self, dsn: str, script: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(script.encode())

    @property
    def dsn(self) -> str:
        """The daemon's."""
        return with_settings(self._superuser, user="cdc_daemon", password="change-me")  # noqa: S106 - the page's

    def source(self, **settings: Any) -> PostgresSource:
        """As the daemon makes it."""
        section = {"type": "postgres", "dsn": self.dsn, **settings}
        self._sources.append(
            PostgresSource(PostgresConfig.model_validate(section), pipeline="shop")
        )
        return self._sources[-1]

    def follow(self, source: PostgresSource, **tables: tuple[str, ...] | None) -> None:
        """Check, load, follow and confirm; `tables` with their columns."""
        requests = [TableRequest(f"public.{name}", columns) for name, columns in tables.items()]
        relations = source.describe(requests)
        problems = [each for each in source.examine(relations) if each.level == "problem"]
        assert problems == []
        source.prepare(relations)
        place = source.create_place()
        rows = [row for relation in relations for row in existing_rows(source, relation)]
        assert len(rows) >= 1
        source.start(relations, place)
        self.owner("update hotel set name = 'Adler'")
        assert len(read_commits(source, 1)) == 1
        clock = source.clock()
        clock.sample()
        clock.nudge()
        position = source.token_reader().read(committed(self.dsn, "select 1"))
        assert clock.reach(position) >= position
        assert clock.slot_health() is not None
        clock.close()
        source.close()

    def close(self) -> None:
        """What a failed test left open."""
        for source in self._sources:
            source.close()


@pytest.fixture
def shop(request: pytest.FixtureRequest, private_postgres: StartPostgres) -> Iterator[Shop]:
    """Before the page is followed; a parameter is the version of the server."""
    made = Shop(private_postgres(getattr(request, "param", None)).dsn)
    yield made
    made.close()


@EVERY_VERSION
def test_a_role_that_owns_nothing(shop: Shop) -> None:
    """It follows the tables, those with column rights too, and can write nothing."""
    role, publication, columns, more = blocks("A role that owns nothing")
    shop.superuser(role)
    unready = shop.source(publication={"manage": False})
    with pytest.raises(SourceError, match="manage is false"):
        unready.prepare(unready.describe([TableRequest("hotel"), TableRequest("booking")]))
    shop.owner(publication)
    shop.follow(shop.source(publication={"manage": False}), hotel=None, booking=None)
    shop.owner(columns)
    source = shop.source(publication={"manage": False})
    with pytest.raises(SourceError, match="grant select"):
        source.prepare(source.describe([TableRequest("hotel")]))
    shop.follow(source, hotel=("id", "name"))
    shop.owner(more)
    shop.follow(shop.source(publication={"manage": False}), hotel=("id", "name"), review=None)
    for write in ("insert into booking values (9)", "delete from hotel", "create table t ()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shop.daemon(write)


@EVERY_VERSION
def test_a_role_that_belongs_to_the_owner(shop: Shop) -> None:
    """It makes the publication by itself, and adds a table to it."""
    (role,) = blocks("A role that belongs to the owner")
    shop.superuser(role)
    shop.follow(shop.source(), hotel=None, booking=None)
    shop.follow(shop.source(), hotel=None, booking=None, review=None)


@pytest.mark.parametrize("missing", ["usage on schema", "select on", "replication"])
def test_each_right_is_needed(shop: Shop, missing: str) -> None:
    """Without any of them the daemon refuses, and names it."""
    role, publication, _, _ = blocks("A role that owns nothing")
    shop.superuser("revoke usage on schema public from public")
    without = "\n".join(
        line.replace(" replication ", " ") if missing == "replication" else line
        for line in role.splitlines()
        if not line.startswith(f"grant {missing}")
    )
    shop.superuser(without)
    shop.owner(publication)
    source = shop.source(publication={"manage": False})
    with pytest.raises(SourceError, match=missing.partition(" ")[0]):
        source.prepare(source.describe([TableRequest("hotel"), TableRequest("booking")]))


def test_what_is_worth_adding_and_taking_it_back(shop: Shop) -> None:
    """Both run as they stand, and afterwards nothing of it is left."""
    role, publication, *_ = blocks("A role that owns nothing")
    statistics, row_security = blocks("What each right is for")
    (back,) = blocks("Take it back")
    shop.superuser(role)
    shop.superuser(statistics)
    shop.owner(publication)
    shop.owner("alter table booking enable row level security")
    source = shop.source(publication={"manage": False})
    relations = source.describe([TableRequest("hotel"), TableRequest("booking")])
    with pytest.raises(SourceError, match="bypassrls"):
        source.prepare(relations)
    shop.superuser(row_security)
    shop.follow(source, hotel=None, booking=None)
    source.give_up_place()
    source.close()
    shop.superuser(back)
    with pytest.raises(psycopg.OperationalError, match="cdc_daemon"):
        shop.daemon("select 1")


@pytest.mark.parametrize("token", [BARE, WHOLE], ids=["bare", "whole"])
def test_any_role_may_take_a_token(shop: Shop, token: str) -> None:
    """One that may log in, and nothing else."""
    shop.superuser("create role guest login password 'x'")
    dsn = with_settings(shop.dsn, user="guest", password="x")  # noqa: S106 - made here
    assert committed(dsn, "select 1", token)
