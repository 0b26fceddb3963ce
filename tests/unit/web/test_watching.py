"""A process of a connector is watched over HTTP as the daemon is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.cli.opening import open_configuration
from cdc_daemon.embedded.ports import free_port
from cdc_daemon.errors import ConfigurationError, StopError
from connectors.postgres.guardhealth import STUCK_SECONDS, GuardHealth
from tests.generators.rest import Refused, Rest

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.ports import Opened

CONFIGURATION = """
name: pipe
source: {type: postgres, dsn: "postgresql://localhost/shop"}
sink: {type: opensearch, hosts: ["http://localhost:9200"]}
projections: {hotels: {from: public.hotel, fields: "*"}}
"""


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """What a connector's command gets."""
    file = tmp_path / "cdc-daemon.yaml"
    file.write_text(CONFIGURATION)
    return open_configuration(file)


def status_of(web: Rest, path: str) -> int:
    """The status of the answer."""
    try:
        web.get(path)
    except Refused as refused:
        return refused.status
    return 200


def test_health_and_numbers_are_shown_while_it_runs(opened: Opened) -> None:
    """As they are when they are asked for, and under the name of the pipeline."""
    guard = GuardHealth()
    listen = f"127.0.0.1:{free_port()}"
    web = Rest(f"http://{listen}")
    with opened.shown(listen, guard):
        assert (status_of(web, "/livez"), status_of(web, "/readyz")) == (200, 503)
        guard.is_connected = guard.stands_in = True
        assert status_of(web, "/readyz") == 200
        assert 'cdc_guard_stands_in{pipeline="pipe"} 1.0' in web.text("GET", "/metrics")
        guard.came_round = time.monotonic() - STUCK_SECONDS - 1
        assert (status_of(web, "/livez"), status_of(web, "/readyz")) == (503, 503)
    with pytest.raises(OSError, match="refused"):
        web.get("/livez")


def test_an_address_that_is_none_is_refused(opened: Opened) -> None:
    """Before anything is begun; and one that is taken."""
    with pytest.raises(ConfigurationError, match="write HOST:PORT"):
        opened.shown("9646", GuardHealth())
    listen = f"127.0.0.1:{free_port()}"
    first, second = (opened.shown(listen, GuardHealth()) for _ in range(2))
    with first, pytest.raises(StopError, match="can't listen"):
        second.__enter__()
