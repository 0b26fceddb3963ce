"""Commands and waits over read tables, as they are over OpenSearch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators import forked
from tests.generators.controlled_daemon import ControlledDaemon
from tests.generators.running_daemon import until
from tests.generators.waits import Asker, committed

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.daemons import StartDaemon
    from tests.generators.read_tables import TableSearch
    from tests.generators.running_daemon import RunningDaemon

PROJECTIONS: dict[str, Any] = {
    "items": {
        "from": "public.item",
        "fields": {
            "id": {},
            "name": {},
            # `json` takes what `jsonb` doesn't: the poison of these tests.
            "note": {},
        },
        "freshness": "1h",
    }
}


@pytest.fixture
def daemon(database: Database, start_daemon: StartDaemon) -> RunningDaemon:
    """One that streams into read tables."""
    committed(database.dsn, "create table item (id int primary key, name text, note json)")
    committed(database.dsn, "insert into item values (1, 'one', '{\"a\": 1}')")
    made = start_daemon(PROJECTIONS, start=False)
    ControlledDaemon(made).load()
    return made


def run(daemon: RunningDaemon, *arguments: str, code: int = 0) -> Any:
    """The JSON that a command prints."""
    done = forked.command(*arguments, "--output", "json", folder=daemon.file.parent)
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_who_waits_reads_what_was_committed(
    database: Database, daemon: RunningDaemon, tables: TableSearch
) -> None:
    """Nothing is refreshed for it: what is durable is found."""
    asker = Asker(daemon.file)
    for number in range(5):
        token = committed(database.dsn, f"update item set name = '{number}'")
        asker.ask(token, timeout=50)
        assert tables.rows("select name from read_models.items") == [(str(number),)]
    asker.ask(committed(database.dsn, "delete from item"), timeout=50)
    assert tables.rows("select from read_models.items") == []
    assert daemon.total("cdc_refresh_duration_seconds_count") == 0


def test_commands_work_as_with_opensearch(
    database: Database, daemon: RunningDaemon, tables: TableSearch
) -> None:
    """Preview, plan, check, dead letters; and a repair of what somebody has altered."""
    file = str(daemon.file)
    committed(database.dsn, "insert into item values (2, 'two', '\"\\u0000\"')")
    daemon.catch_up()
    (letter,) = run(daemon, "deadletters", "list", file)
    assert (letter["id"], letter["reason"]) == ("2", "untranslatable_character")
    assert run(daemon, "deadletters", "show", letter["key"], file)["id"] == "2"
    assert run(daemon, "preview", "items", "1", file)["verdict"] == "equal"
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("update read_models.items_000001 set name = 'x', _document = '{}'")
    assert run(daemon, "preview", "items", "1", file, code=1)["verdict"] == "differs"
    ControlledDaemon(daemon).start(table="public.item")
    found = "select name, _document ->> 'name' from read_models.items"
    until(lambda: tables.rows(found) == [("one", "one")], 60, "it is repaired")
    findings = run(daemon, "check", file)["findings"]
    assert {each["level"] for each in findings if each["part"] == "sink"} <= {"ok", "warning"}
    assert {"read model items", "schema read_models"} <= {each["check"] for each in findings}
