from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.config.loader import load
from cdc_daemon.daemon import Daemon
from cdc_daemon.errors import ConfigurationError
from tests.generators.forked import command

if TYPE_CHECKING:
    from pathlib import Path

SINK = "sink: {type: opensearch, hosts: ['http://127.0.0.1:1']}"
PROJECTIONS = "projections: {hotels: {from: public.hotel, fields: [id]}}"
RELAY = "source: {type: relay, dsn: 'host=127.0.0.1', bootstrap_servers: '127.0.0.1:1', log: app}"
POSTGRES = "source: {type: postgres, dsn: 'host=127.0.0.1'}"


def projector(folder: Path, *lines: str) -> Daemon:
    """A replica of that configuration, which connects to nothing."""
    file = folder / "cdc-daemon.yaml"
    file.write_text("\n".join(("name: shared", SINK, PROJECTIONS, *lines)))
    return Daemon(load(file, {}), {}, role="projector")


def test_a_slot_is_followed_by_one(tmp_path: Path) -> None:
    """The message says what replicas need."""
    with pytest.raises(ConfigurationError, match=r"source\.type: relay"):
        projector(tmp_path, POSTGRES)


@pytest.mark.parametrize("line", ["standby: true", "backfill: {mode: only}"])
def test_what_replicas_can_not_have_is_refused(tmp_path: Path, line: str) -> None:
    """Before anything is connected to."""
    with pytest.raises(ConfigurationError, match="can't be had where replicas share"):
        projector(tmp_path, RELAY, line)


def test_a_relay_is_no_projector(tmp_path: Path) -> None:
    """It would run all the same, and nobody would project."""
    file = tmp_path / "cdc-daemon.yaml"
    sink = "sink: {type: kafka, bootstrap_servers: '127.0.0.1:1', topic_prefix: app}"
    file.write_text(f"name: r\n{POSTGRES}\n{sink}\nrelay: {{tables: [public.hotel]}}")
    ended = command("run", str(file), "--role", "projector")
    assert ended.returncode == 2
    assert "which has no documents to share" in ended.stderr


def test_a_log_can_be_shared(tmp_path: Path) -> None:
    """Its status shows what this replica has: nothing yet."""
    shown = projector(tmp_path, RELAY).status.show()["replica"]
    assert shown == {"leads": False, "slots": [], "members": 0, "rebalances": 0}


STRONG = "consistency: {strong: {}}"
RELAYED = RELAY.replace("}", ", relay: store}")


def test_commits_wait_for_projectors_only(tmp_path: Path) -> None:
    """One daemon that follows the log belongs to no group that a relay hears of."""
    projector(tmp_path, RELAYED, STRONG)
    with pytest.raises(ConfigurationError, match="--role projector"):
        Daemon(load(tmp_path / "cdc-daemon.yaml", {}), {})


def test_reads_of_a_projector_can_not_rely_on_commits(tmp_path: Path) -> None:
    """Whether they wait for it only the relay knows."""
    line = "consistency: {strong: {}, policies: {mine: {strategy: strong}}}"
    with pytest.raises(ConfigurationError, match="policy mine"):
        projector(tmp_path, RELAYED, line)
