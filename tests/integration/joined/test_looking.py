"""`explain` of a row and `preview` of a document: by the state, beside the daemon that has it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.integration.joined.conftest import HOTELS

if TYPE_CHECKING:
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon


def said(daemon: RunningDaemon, *arguments: str) -> dict[str, Any]:
    """What a command prints for programs."""
    result = subprocess.run(
        [sys.executable, "-m", "cdc_daemon", *arguments, str(daemon.file), "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
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
    found = said(daemon, "preview", "hotels", "7")
    assert (found["verdict"], found["differing"]) == ("differs", ["chain.name"])
