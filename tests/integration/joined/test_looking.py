"""`explain` of a row and `preview` of a document: by the state, beside the daemon that has it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.generators.forked import command
from tests.generators.running_daemon import until
from tests.integration.joined.conftest import HOTELS

if TYPE_CHECKING:
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon


def said(daemon: RunningDaemon, *arguments: str) -> dict[str, Any]:
    """What a command prints for programs."""
    result = command(*arguments, str(daemon.file), "-o", "json")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_rows_and_documents_are_looked_at_beside_the_daemon(
    store: Store, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Who shows a row; whether the index has a document as the state does."""
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    store.execute(
        "insert into chain values (1, 'Royal')",
        "insert into hotel select i, 'hotel ' || i, 1 from generate_series(1, 150) i",
    )
    daemon.catch_up()
    (way,) = said(daemon, "explain", "chain", "1")["ways"]
    assert (way["projection"], way["documents"], way["wide"]) == ("hotels", 150, True)
    found = said(daemon, "preview", "hotels", "7")
    assert (found["made_of"], found["verdict"]) == ("state", "equal")
    assert found["document"]["chain"] == {"name": "Royal"}
    rest.post("/hotels/_update/7?refresh", {"doc": {"chain": {"name": "altered"}}})
    # That it was written is in the state a second later: until then it may be on its way.
    until(lambda: said(daemon, "preview", "hotels", "7")["verdict"] != "pending", 30, "it is known")
    found = said(daemon, "preview", "hotels", "7")
    assert (found["verdict"], found["differing"]) == ("differs", ["chain.name"])
    (index,) = rest.get("/_alias/hotels")
    assert said(daemon, "plan")["steps"] == [{"action": "keep", "subject": index, "why": ""}]
    whole = json.loads(daemon.file.read_text())
    embed = whole["projections"]["hotels"]["embed"]
    embed["mates"] = {"count": "mate", "on": {"hotel_id": "id"}}
    del embed["tags"]
    store.execute("create table mate (id int primary key, hotel_id int)")
    daemon.file.write_text(json.dumps(whole))
    steps = [(one["action"], one["subject"]) for one in said(daemon, "plan")["steps"]]
    assert steps == [
        ("publish", "public.mate"),
        ("create", "a new index of hotels"),
        ("write", "hotels"),
        ("load", "public.mate"),
    ]
