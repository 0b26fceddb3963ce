"""What a relay that runs says of projectors, as the commands of connectors get to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdc_daemon.cli import opening
from cdc_daemon.cli.opening import open_configuration
from cdc_daemon.cli.running import Answer

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

RELAY = """
name: shop
source: {type: postgres, dsn: "postgresql://localhost/shop"}
sink: {type: kafka, bootstrap_servers: "localhost:9092", log: shop.log}
relay: {tables: [public.hotel]}
consistency: {strong: {projectors: [hotels]}}
"""
WELL = {"trouble": "", "whole": True, "waited_for": True}


def test_it_is_known_why_searches_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that say nothing, that load, and that are left out since they don't get on."""
    projectors: dict[str, dict[str, Any]] = {
        "well": WELL,
        "gone": {**WELL, "whole": False, "trouble": "nobody is there"},
        "loading": {**WELL, "whole": False},
        "behind": {**WELL, "waited_for": False},
    }
    status = {"pipeline": "shop", "state": "streaming", "projectors": projectors}
    monkeypatch.setattr(opening, "ask", lambda *_: Answer("", 200, status))
    file = tmp_path / "relay.yaml"
    file.write_text(RELAY)
    running = open_configuration(file).running()
    assert running is not None
    assert [why.partition(":")[0] for why in running.unheard] == ["gone", "loading", "behind"]
    assert running.unheard[0] == "gone: nobody is there"
