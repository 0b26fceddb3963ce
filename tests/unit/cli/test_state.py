"""`cdc-daemon state` as people use it, on a state that the store has made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cdc_daemon.state import Wanted
from tests.generators import forked
from tests.generators.states import BY_CITY, HOTEL, apply, hotels, new_store

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

CONFIGURATION = """\
name: pipe
source: {type: postgres, dsn: "host=localhost"}
sink: {type: opensearch, hosts: ["http://localhost:9200"]}
projections:
  hotels: {from: public.hotel, fields: "*"}
state: {path: DATA}
"""


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `cdc-daemon state ...` in that folder."""
    return forked.command("state", *arguments, folder=cwd)


def test_the_commands_show_compact_and_give_up(tmp_path: Path) -> None:
    """On the folder that the configuration names; without a state they say so."""
    (tmp_path / "cdc-daemon.yaml").write_text(CONFIGURATION.replace("DATA", str(tmp_path)))
    none = command("inspect", cwd=tmp_path)
    assert none.returncode == 6
    assert "there is no state" in none.stderr
    with new_store(tmp_path / "pipe.state") as store:
        store.fit(Wanted((HOTEL,), (BY_CITY,), projections=("hotels",)))
        apply(store, tmp_path, 0x16B374D848, *hotels(0, 2000))
        assert command("rebuild", "--yes", cwd=tmp_path).returncode == 6
    shown = command("inspect", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "16/B374D848" in shown.stdout
    assert "public.hotel (city)" in shown.stdout
    seen = json.loads(command("inspect", "--output", "json", cwd=tmp_path).stdout)
    assert [(tree["table"], tree["entries"]) for tree in seen["trees"]] == [
        ("public.hotel", 2000),
        ("public.hotel", 2000),
    ]
    assert command("compact", cwd=tmp_path).stdout.startswith("compacted from")
    assert command("rebuild", cwd=tmp_path).returncode == 1
    assert command("rebuild", "--yes", cwd=tmp_path).returncode == 0
    assert "lost" in command("inspect", cwd=tmp_path).stdout
