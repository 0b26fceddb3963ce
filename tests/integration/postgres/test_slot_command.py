"""`cdc-daemon slot` as people use it: it shows, warns, asks, and does what it says."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from tests.generators.forked import command
from tests.integration.postgres.conftest import Connection, MakeRole, MakeSource, start

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.conftest import Database, StartPostgres

GROW = "select pg_logical_emit_message(true, 'test', repeat('x', 1000000))"


class Run(Protocol):
    """Runs `cdc-daemon slot` on the test's database."""

    def __call__(
        self, *arguments: str, answer: str = "", **source: Any
    ) -> subprocess.CompletedProcess[str]:
        """`source`: further keys of the `source:` section. `answer`: what a person types."""


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    """The configuration names the slot after the database, as `make_source` does."""

    def run(*arguments: str, answer: str = "", **source: Any) -> subprocess.CompletedProcess[str]:
        section = {"type": "postgres", "dsn": database.dsn, "slot": database.name, **source}
        configuration = {
            "name": "shop",
            "source": section,
            "sink": {"type": "opensearch", "hosts": ["http://127.0.0.1:1"]},
            "projections": {"items": {"from": "item", "fields": "*"}},
        }
        file = tmp_path / "cdc-daemon.yaml"
        file.write_text(json.dumps(configuration))
        verb, *options = arguments
        return command(
            *("slot", verb, str(file), *options),
            answer=answer,
            environment={**os.environ, "NO_COLOR": "1"},
        )

    return run


@pytest.fixture
def item(connection: Connection) -> None:
    """An ordinary table."""
    connection.execute("create table item (id int primary key, name text)")


def inspected(run: Run, **source: Any) -> dict[str, Any]:
    """What `inspect` says, for programs."""
    result = run("inspect", "--output", "json", **source)
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.usefixtures("item")
def test_a_slot_that_is_followed_is_well(
    run: Run, make_source: MakeSource, database: Database
) -> None:
    """For people, and with every column that the server's version has for programs."""
    start(make_source(), "item")
    result = run("inspect")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("\nall is well\n")
    assert f"slot          {database.name}\n" in result.stdout
    assert "(cdc-daemon:integration)" in result.stdout
    state = inspected(run)
    assert state["active"]
    assert not state["lost"]
    assert state["plugin"] == "pgoutput"
    assert state["database"] == database.name
    assert state["retained_bytes"] >= state["unconfirmed_bytes"] >= 0
    assert state["catalog_xmin_age"] >= 0
    assert state["meaning"] == []
    known = False if database.server.version >= 17 else None
    assert [state[key] for key in ("failover", "synced")] == [known, known]


@pytest.mark.usefixtures("item")
def test_a_slot_that_nobody_reads_keeps_log(
    run: Run, make_source: MakeSource, connection: Connection
) -> None:
    """It says so, and which step of the configuration that is."""
    source = make_source()
    start(source, "item")
    source.close()
    for _ in range(3):
        connection.execute(GROW)
    unread, kept = inspected(run, wal={"warn": "1MB", "critical": "2MB"})["meaning"]
    assert unread.startswith("nobody reads it")
    assert "cdc-daemon slot drop" in unread
    assert "source.wal.critical is 2,000,000" in kept


@pytest.mark.usefixtures("item")
def test_an_open_transaction_is_told_from_a_daemon_that_is_behind(
    run: Run, make_source: MakeSource, connection: Connection, database: Database
) -> None:
    """What is kept beyond the unconfirmed has another cause."""
    source = make_source()
    start(source, "item")
    source.close()
    with psycopg.connect(database.dsn) as other:
        other.execute("insert into item values (1)")
        for _ in range(70):
            connection.execute(GROW)
        connection.execute("checkpoint")
        assert run("advance", "--yes").returncode == 0
        said = inspected(run, wal={"warn": "1GB"})["meaning"]
    assert any("a transaction that is open in the source" in each for each in said)


def test_a_lost_slot_is_explained(
    private_postgres: StartPostgres, make_source: MakeSource, run: Run
) -> None:
    """Why it is lost, what the next start does, and what keeps it from coming again."""
    server = private_postgres(settings={"max_slot_wal_keep_size": "1MB"})
    source = make_source(server.dsn, slot="lost_one")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, name text)")
        start(source, "item")
        source.close()
        for number in range(4):
            connection.execute("select pg_switch_wal()")
            connection.execute("insert into item values (%s)", [number])
            connection.execute("checkpoint")
    state = inspected(run, dsn=server.dsn, slot="lost_one")
    assert state["lost"]
    assert "raise that" in state["meaning"][0]
    assert "makes it anew and loads everything" in state["meaning"][0]
    result = run("advance", "--yes", dsn=server.dsn, slot="lost_one")
    assert (result.returncode, result.stdout) == (3, "")
    assert "slot drop" in result.stderr
    assert run("drop", "--yes", dsn=server.dsn, slot="lost_one").returncode == 0


@pytest.mark.parametrize("command", ["inspect", "advance", "drop"])
def test_there_is_no_slot(run: Run, command: str) -> None:
    """Exit code 1, and nothing is asked."""
    result = run(command)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: there is no replication slot")


@pytest.mark.usefixtures("item")
def test_create_advance_and_drop(run: Run, connection: Connection, database: Database) -> None:
    """Each says what it did, and where the slot is now."""
    created = run("create", "--output", "json")
    assert created.returncode == 0, created.stderr
    assert "the server keeps its log" in created.stderr
    assert "max_slot_wal_keep_size = '50GB'" in created.stderr
    made = json.loads(created.stdout)
    assert made["slot"] == database.name
    assert made["position"] == inspected(run)["confirmed_flush_lsn"]
    assert run("create").returncode == 3

    connection.execute(GROW)
    moved = run("advance", "--yes")
    assert moved.returncode == 0, moved.stderr
    assert "loads everything anew" in moved.stderr
    assert inspected(run)["confirmed_flush_lsn"] in moved.stdout
    assert run("advance", "--yes", "--to", made["position"]).returncode == 3
    assert run("advance", "--yes", "--to", "nowhere").returncode == 2

    connection.execute(GROW)
    row = connection.execute("select pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    connection.execute(GROW)
    assert (
        json.loads(run("advance", "-y", "--to", row[0], "-o", "json").stdout)["position"] == row[0]
    )

    dropped = run("drop", "--yes", "--output", "json")
    assert json.loads(dropped.stdout) == {"slot": database.name, "position": None}
    assert "beside what is searched" in dropped.stderr
    assert run("inspect").returncode == 1


@pytest.mark.parametrize("command", ["advance", "drop"])
@pytest.mark.usefixtures("item")
def test_nothing_is_done_unless_a_person_agrees(
    run: Run, connection: Connection, command: str
) -> None:
    """No and no answer leave the slot as it is; y does it."""
    assert run("create").returncode == 0
    connection.execute(GROW)
    before = inspected(run)["confirmed_flush_lsn"]
    for answer in ("n\n", "", "\n"):
        result = run(command, answer=answer)
        assert (result.returncode, result.stdout) == (1, "")
        assert "error: nothing was changed" in result.stderr
        assert inspected(run)["confirmed_flush_lsn"] == before
    result = run(command, answer="y\n")
    assert result.returncode == 0
    assert result.stdout.count("\n") == 1, "questions go to stderr"


@pytest.mark.parametrize("command", ["advance", "drop"])
@pytest.mark.usefixtures("item")
def test_a_slot_that_is_followed_is_left_alone(
    run: Run, make_source: MakeSource, command: str
) -> None:
    """Exit code 5, with the pid; nothing is asked."""
    source = make_source()
    start(source, "item")
    result = run(command, "--yes")
    assert (result.returncode, result.stdout) == (5, "")
    assert "pg_terminate_backend" in result.stderr
    assert source.place() is not None


@pytest.mark.usefixtures("item")
def test_the_slot_of_someone_else_is_shown_and_left_alone(
    run: Run, connection: Connection, database: Database
) -> None:
    """A physical slot of that name: `inspect` says what it is, the others refuse."""
    connection.execute("select pg_create_physical_replication_slot(%s)", [database.name])
    try:
        assert "not the daemon's" in inspected(run)["meaning"][0]
        for command in ("create", "advance", "drop"):
            result = run(command)
            assert result.returncode == 3
            assert "physical slot" in result.stderr
    finally:
        connection.execute("select pg_drop_replication_slot(%s)", [database.name])


@pytest.mark.usefixtures("item")
def test_rights_and_settings_are_tried_before_a_slot_is_made(
    run: Run, make_role: MakeRole, database: Database
) -> None:
    """A role that may not replicate, and a server without failover slots, with what mends it."""
    name, dsn = make_role("login")
    result = run("create", dsn=dsn)
    assert result.returncode == 3
    assert f'alter role "{name}" replication' in result.stderr
    result = run("create", failover=True)
    assert result.returncode == (0 if database.server.version >= 17 else 3)
    if database.server.version >= 17:
        assert inspected(run)["failover"]
    else:
        assert "came with 17" in result.stderr


def test_a_source_that_is_away_or_another_one(run: Run, database: Database) -> None:
    """Exit code 3 with the address, and never the password; mistakes are 2."""
    result = run("inspect", dsn=f"postgresql://u:{database.server.password}@127.0.0.1:1/db")
    assert result.returncode == 3
    assert "127.0.0.1:1" in result.stderr
    assert database.server.password not in result.stderr
    assert run("inspect", slot_wait="soon").returncode == 2
