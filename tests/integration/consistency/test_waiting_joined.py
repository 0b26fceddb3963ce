"""Waiting for joined read models: for one's own document, while very many others are made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.generators.running_daemon import lsn
from tests.generators.waits import Asker, committed
from tests.integration.joined.conftest import (  # noqa: F401 - the fixture
    HOTELS,
    Store,
    store,
)

if TYPE_CHECKING:
    from tests.integration.pipeline.conftest import StartDaemon

COUNT = 10_000
FIRST = (
    "insert into chain values (1, 'chain')",
    f"insert into hotel select i, 'hotel ' || i, 1 from generate_series(1, {COUNT}) i",
)
ROUTED: dict[str, Any] = {"hotels": {**HOTELS["hotels"], "routing": "name"}}


@pytest.mark.parametrize("projections", [HOTELS, ROUTED], ids=["by id", "routed"])
def test_ones_own_document_does_not_wait_for_a_wide_change(
    store: Store,  # noqa: F811 - the fixture
    start_daemon: StartDaemon,
    projections: dict[str, Any],
) -> None:
    """Its own row and those below it are shown; that a chain was renamed may come later."""
    slow = {name: {**one, "freshness": "1h"} for name, one in projections.items()}
    daemon = start_daemon(slow)
    daemon.wait_until("streaming")
    store.execute(*FIRST)
    asker = Asker(daemon.file)
    assert asker.ask(committed(store.dsn, "select 1"), timeout=50).status == 200
    overtook = 0
    for number in range(3):
        store.execute(f"update chain set name = 'renamed {number}' where id = 1")
        own = 1 + number * 1000
        token = committed(store.dsn, f"insert into room values ({number}, {own}, 'k', {number})")
        waited = asker.ask(token, timeout=50, projection="hotels", id=own)
        assert waited.status == 200
        assert [room["id"] for room in store.found(own)["rooms"]] == [number]
        overtook += lsn(waited.body["searchable"]) < lsn(token.rpartition(":")[2])
    assert overtook > 0
    assert asker.ask(token, timeout=59, projection="hotels").status == 200
    assert store.assert_equal(daemon) == COUNT
