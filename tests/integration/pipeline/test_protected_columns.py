"""Columns that rules protect, through a whole daemon: what is never seen anywhere, and what is."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.controlled_daemon import ControlledDaemon
from tests.generators.oracle import assert_equal, documents
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

SALT = "salt-that-nobody-may-see"
RULES = [
    {"match": "public.person.email", "hash": {"salt": SALT}},
    {"match": "*.phone", "mask": "+00"},
    {"match": "person.note", "truncate": 4},
    {"match": "*password*", "exclude": True},
]
PEOPLE: dict[str, Any] = {"people": {"from": "person", "fields": "*", "freshness": "50ms"}}
POISONED: dict[str, Any] = {
    "ratios": {
        "from": "person",
        "fields": {
            "ratio": {"expression": "10 / visits"},
            "who": {"expression": "email || phone || note"},
        },
        "freshness": "50ms",
    },
    "numbers": {
        "from": "person",
        "fields": {
            "email": {"type": "ip"},
            "note": {"type": "integer"},
            "cast": {"expression": "cast(phone as integer)"},
        },
        "freshness": "50ms",
    },
}
HASHED = f"encode(sha256(convert_to(concat('{SALT}', %s), 'UTF8')), 'hex')"
ALL_PEOPLE = {
    "people": f"""
        select {HASHED % "email"}, jsonb_build_object(
            'email', {HASHED % "email"}, 'phone', case when phone is not null then '+00' end,
            'note', left(note, 4), 'visits', visits)
        from person"""
}
HIDDEN = "geheim"
"""Within every value that nobody may see, and in no other."""


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with one table, whose key is to be hashed, and three rows."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute(
            "create table person (email text primary key, phone bigint, note text, "
            "user_password text, visits int)"
        )
        for name, visits in (("ada", 2), ("bob", 5), ("eve", 1)):
            opened.execute(
                "insert into person values (%s, 417917917, %s, %s, %s)",
                [f"{name}@{HIDDEN}.example", f"{name} {HIDDEN}", HIDDEN, visits],
            )
        opened.execute("insert into person (email) values (%s)", [f"null@{HIDDEN}"])
        yield opened


def everything_said(daemon: RunningDaemon, rest: Rest) -> dict[str, str]:
    """Whatever the daemon has written, by where: its log, its web side, OpenSearch, its folder."""
    rest.post("/_all/_refresh?expand_wildcards=all")
    everything = {"size": 10_000, "query": {"match_all": {}}}
    status = daemon.status()
    assert status
    return {
        "log": daemon.said(),
        "status": json.dumps(status),
        "metrics": "\n".join(daemon.metrics()),
        "documents": rest.text("POST", "/_all/_search?expand_wildcards=all", everything),
        "mappings": rest.text("GET", "/_all?expand_wildcards=all"),
        "folder": b"".join(
            each.read_bytes() for each in daemon.spill.parent.rglob("*") if each.is_file()
        ).decode(errors="replace"),
    }


def letters(rest: Rest, daemon: RunningDaemon) -> list[dict[str, Any]]:
    """The dead letters of this pipeline."""
    rest.post("/cdc-daemon-deadletters/_refresh")
    query = {"size": 100, "query": {"term": {"pipeline": daemon.status()["pipeline"]}}}
    found = rest.post("/cdc-daemon-deadletters/_search", query)
    return [hit["_source"] for hit in found["hits"]["hits"]]


def _has_ended_more(daemon: ControlledDaemon, before: int) -> bool:
    return len(daemon.ended()) > before


def fail_repairs(daemon: ControlledDaemon) -> None:
    """By conditions that are good until they meet a value, which PostgreSQL then names."""
    for where in ("email::int > 0", "note::regclass is not null"):
        before = len(daemon.ended())
        daemon.start(table="public.person", where=where)
        until(partial(_has_ended_more, daemon, before), 60, "the repair has failed")
    assert daemon.ended().count("failed") == 2
    errors = [event["error"] for event in daemon.running.events("repair_failed")]
    assert "invalid text representation (SQLSTATE 22P02)" in errors[0]
    assert len(errors) == 2


def test_no_value_is_seen_anywhere(
    connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Good rows, poison rows, undecodable ones, loaded and streamed: no document, letter or log."""
    connection.execute("create cast (bytea as text) without function")  # text that isn't UTF-8
    broken = f"cast(convert_to('{HIDDEN}', 'UTF8') || '\\xff'::bytea as text)"
    undecodable = f"cast('\\xff'::bytea || convert_to('{HIDDEN}', 'UTF8') as text)"
    poison = (
        f"insert into person values ({{}} || '@{HIDDEN}', 417917917, {{}}, '{HIDDEN}', 0)",
        f"insert into person values ({broken} || {{}}, 417917917, {{}}, {broken}, 0)",
    )
    for statement in poison:
        connection.execute(statement.format("'loaded'", undecodable))
        connection.execute(statement.format("'loaded too'", f"'{HIDDEN}'"))
    daemon = start_daemon(
        {**PEOPLE, **POISONED}, start=False, source={"columns": RULES}, log={"level": "debug"}
    )
    controlled = ControlledDaemon(daemon)
    controlled.load()
    for statement in poison:
        connection.execute(statement.format("'streamed'", undecodable))
        connection.execute(statement.format("'streamed too'", f"'{HIDDEN}'"))
    connection.execute(f"update person set note = {undecodable} where visits = 5")
    connection.execute(f"update person set email = 'new@{HIDDEN}', note = 'x' where visits = 2")
    connection.execute(
        f"update person set phone = 418018018, visits = 0 where email = 'new@{HIDDEN}'"
    )
    connection.execute("delete from person where visits = 1")
    daemon.catch_up()
    fail_repairs(controlled)
    stored = letters(rest, daemon)
    # Division by zero, a text that is no integer, values that aren't UTF-8: none says the value.
    assert {letter["projection"] for letter in stored} == {"people", *POISONED}
    assert {"not_utf8", "mapper_parsing_exception"} < {letter["reason"] for letter in stored}
    rows = [json.loads(letter["row"]) for letter in stored if letter["reason"] == "not_utf8"]
    assert {row["note"] for row in rows} == {'"***"'}
    assert all("user_password" not in letter["row"] for letter in stored)
    said = everything_said(daemon, rest)
    assert "+00" in said["documents"]
    assert "column note" in said["documents"]
    assert daemon.terminate() == 0
    said["log"] = daemon.said()
    for where, text in said.items():
        # `truncate: 4` keeps "gehe" of a note
        for secret in (HIDDEN, HIDDEN.encode().hex(), "417917917", "418018018", SALT, "\ufffd"):
            assert secret not in text, f"{secret} is in the {where}"


def test_hashed_keys_move_and_go(
    connection: psycopg.Connection, database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Documents are what SQL makes of the rows, after key changes, swaps, deletes and a kill."""
    daemon = start_daemon(PEOPLE, source={"columns": RULES})
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, ALL_PEOPLE) == 4
    with connection.transaction():  # two rows swap their keys
        connection.execute("update person set email = 'between' where visits = 2")
        connection.execute("update person set email = 'ada' where visits = 5")
        connection.execute("update person set email = 'bob' where visits = 2")
    connection.execute("update person set email = email || '!' where visits = 1")
    connection.execute("delete from person where email like 'null%'")
    connection.execute("insert into person values ('new', null, 'ÄÖÜ€𝄞', 'x', 7)")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, ALL_PEOPLE) == 4
    daemon.kill()
    connection.execute("delete from person where email = 'new'")
    connection.execute("update person set email = 'again' where visits = 5")
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, ALL_PEOPLE) == 3
    assert len(daemon.events("new_generation")) == 1


def test_a_protected_key_beside_large_values_is_warned_of(
    connection: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """At the start and by `check`, before an update makes the daemon stop."""
    daemon = start_daemon(PEOPLE, source={"columns": RULES})
    daemon.wait_until("streaming")
    (event,) = daemon.events("large_values_unreadable")
    assert (event["level"], event["table"]) == ("warning", "public.person")
    assert "of note leaves it out" in event["why"]
    assert f"warning mapping table public.person: {event['why']}" in checked(daemon)
    assert daemon.terminate() == 0
    connection.execute(event["sql"])
    assert event["why"] not in checked(daemon)
    daemon.start()
    daemon.wait_until("streaming")
    assert len(daemon.events("large_values_unreadable")) == 1


def checked(daemon: RunningDaemon) -> str:
    """What `cdc-daemon check` says, with single blanks."""
    command = [sys.executable, "-m", "cdc_daemon", "check", str(daemon.file)]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    return " ".join(said.stdout.split())


def test_another_rule_loads_anew(
    connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Another salt, or no rule, makes other documents; the same rules go on where they were."""
    rules = [{"match": "email", "hash": {"salt": SALT}}]
    found = []
    for columns in (rules, rules, [{"match": "email", "hash": {"salt": SALT + "!"}}], []):
        daemon = start_daemon(PEOPLE, source={"columns": columns})
        daemon.wait_until("streaming")
        daemon.catch_up()
        found.append(set(documents(rest, "people")))
        assert daemon.terminate() == 0
    assert found[0] == found[1]
    assert found[0].isdisjoint(found[2])
    rows = connection.execute("select email from person").fetchall()
    assert found[3] == {email for (email,) in rows}
    assert len(daemon.events("new_generation")) == 3


def test_a_pattern_without_columns_is_reported(
    connection: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """It may be there for columns to come: the daemon follows, and its log says so once."""
    assert connection.closed is False
    rules = [*RULES, {"match": "*.passport*", "exclude": True}]
    daemon = start_daemon(PEOPLE, source={"columns": rules})
    daemon.wait_until("streaming")
    (event,) = daemon.events("column_rule_unused")
    assert event["level"] == "warning"
    assert event["match"] == "*.passport*"
    assert "no mapped table has a column" in event["why"]
