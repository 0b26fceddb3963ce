"""Rules that protect columns change: the state holds values as the rules of then have made them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.generators import forked
from tests.generators.oracle import assert_equal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon

HIDDEN = "geheim"
"""Within every value that is hashed, and in no other."""
PEOPLE: dict[str, Any] = {
    "people": {
        "from": "person",
        "fields": ["email"],
        "embed": {
            "notes": {"many": "note", "on": {"person_id": "id"}, "fields": ["id", "body"]},
            "last": {"last": "note", "on": {"person_id": "id"}, "value": "body"},
        },
        "id": "{email}",
    }
}
SALTS = ("salt-that-nobody-may-see", "another salt that nobody may see")
HASHED = "encode(sha256(convert_to('{salt}' || {{}}, 'UTF8')), 'hex')"
DOCUMENTS = """
select {email}, jsonb_build_object(
    'email', {email},
    'notes', coalesce((select jsonb_agg(jsonb_build_object('id', n.id, 'body', {body}) order by id)
                       from note n where n.person_id = p.id), '[]'),
    'last', (select {body} from note n where n.person_id = p.id order by id desc limit 1))
from person p"""


@pytest.fixture
def people(store: Store) -> Store:
    """A hundred people, whose address is their key, with notes."""
    store.execute(
        "create table person (id int not null unique, email text primary key)",
        "create table note (id int primary key, person_id int, body text)",
        f"insert into person select i, '{HIDDEN} ' || i from generate_series(1, 100) i",
        f"insert into note select i, i % 90, '{HIDDEN} of ' || i from generate_series(1, 300) i",
    )
    return store


def rules(salt: str | None) -> list[dict[str, Any]]:
    """Address and notes are hashed, or nothing is."""
    names = ("person.email", "note.body") if salt else ()
    return [{"match": name, "hash": {"salt": salt}} for name in names]


def assert_all_by(people: Store, salt: str | None) -> None:
    """Every document is what the rules of now make of the rows."""
    form = HASHED.format(salt=salt) if salt else "{}"
    query = DOCUMENTS.format(email=form.format("email"), body=form.format("body"))
    there = assert_equal(people.dsn, people.opensearch, {"people": query})
    assert there == 100


def state_file(daemon: RunningDaemon) -> Path:
    """Where the rows are."""
    (found,) = daemon.file.parent.rglob("data.mdb")
    return found


def test_another_rule_reads_the_rows_again(people: Store, start_daemon: StartDaemon) -> None:
    """Rules where there were none, another salt, none again: no document shows a value of before,
    also none whose rows haven't changed since. The same rules go on.
    """  # noqa: D205 - one sentence
    daemon = start_daemon(PEOPLE, start=False)
    loaded = []
    for number, salt in enumerate((None, SALTS[0], SALTS[0], SALTS[1], None)):
        said = json.loads(daemon.file.read_text())
        said["source"]["columns"] = rules(salt)
        daemon.file.write_text(json.dumps(said))
        daemon.start()
        daemon.wait_until("streaming")
        people.execute(f"update person set email = '{HIDDEN} new ' || id where id = {number}")
        people.execute(f"update note set body = '{HIDDEN} new' where id = {number}")
        daemon.catch_up()
        assert_all_by(people, salt)
        loaded.append(len(daemon.events("loading")))
        assert daemon.terminate() == 0
    assert loaded == [2, 4, 4, 6, 8]


def test_a_rebuilt_state_holds_nothing_of_before(people: Store, start_daemon: StartDaemon) -> None:
    """Until then pages that are free may hold values of before the rule."""
    daemon = start_daemon(PEOPLE)
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert daemon.terminate() == 0
    assert HIDDEN.encode() in state_file(daemon).read_bytes()
    said = json.loads(daemon.file.read_text())
    said["source"]["columns"] = rules(SALTS[0])
    daemon.file.write_text(json.dumps(said))
    rebuilt = forked.command("state", "rebuild", str(daemon.file), "--yes")
    assert rebuilt.returncode == 0, rebuilt.stderr
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert_all_by(people, SALTS[0])
    assert daemon.terminate() == 0
    assert HIDDEN.encode() not in state_file(daemon).read_bytes()
