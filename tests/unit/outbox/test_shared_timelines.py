"""How far earlier timelines are shared, after one failover and another in the same process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from cdc_daemon.events import Position
from connectors.outbox import OutboxSource
from connectors.outbox.config import OutboxConfig
from connectors.postgres.timelines import Timeline

if TYPE_CHECKING:
    import pytest


def test_a_sibling_that_goes_on_from_before_shares_no_more_than_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the second timeline had shared of the first may lie beyond where the third began."""
    config = OutboxConfig.model_validate({"type": "outbox", "dsn": "host=nowhere"})
    source = OutboxSource(config, pipeline="p")
    server = SimpleNamespace(here=2, read=100)
    monkeypatch.setattr(source._database, "identity", lambda: Timeline("1", server.here))
    monkeypatch.setattr(
        source, "_entries", lambda: [SimpleNamespace(position=Position(server.read))]
    )
    assert source.shared_until("1/1") == 100
    server.read = 150
    assert source.shared_until("1/1") == 100, "what was read since is of the second"
    server.here, server.read = 3, 80
    assert source.shared_until("1/2") == 80
    assert source.shared_until("1/1") == 80
