"""`cdc-daemon preview` of a flat read model: the source's row beside what is in the index."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.forked import command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

STAYS = {"stays": {"from": "stay", "where": "price > 0", "fields": ["room", "price"]}}


def preview(file: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    result = command("preview", *arguments, str(file))
    return result.returncode, result.stdout, result.stderr


def previewed(file: Path, document_id: str) -> dict[str, Any]:
    """For programs."""
    found: dict[str, Any] = json.loads(preview(file, "stays", document_id, "-o", "json")[1])
    return found


def test_a_document_is_made_of_its_row_and_compared(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Equal, differing somewhere, or on one side only; keys of several columns."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            "create table stay (hotel text, n int, room text, price numeric,"
            " primary key (hotel, n))"
        )
        connection.execute("insert into stay values ('a|b', 1, 'suite', 1.50), ('c', 2, 'x', 0)")
    daemon = start_daemon(STAYS)
    daemon.wait_until("streaming")
    daemon.catch_up()
    code, shown, _ = preview(daemon.file, "stays", r"a\|b|1")
    assert (code, shown.split()[:2]) == (0, ["verdict", "equal"])
    assert '{"room":"suite","price":1.50}' in shown
    rest.post(r"/stays/_update/a%5C%7Cb%7C1?refresh", {"doc": {"room": "altered"}})
    code, shown, _ = preview(daemon.file, "stays", r"a\|b|1")
    assert code == 1
    assert shown.splitlines()[-1].split() == ["differs", "at", "room"]
    assert previewed(daemon.file, "c|2") == {
        "made_of": "source",
        "position": "",
        "document": None,
        "rejected": "",
        "indexed": None,
        "version": "",
        "pending": False,
        "differing": [],
        "verdict": "equal",
    }
    assert "is made of hotel, n" in preview(daemon.file, "stays", "c")[2]
    assert "did you mean stays?" in preview(daemon.file, "stay", "c")[2]
