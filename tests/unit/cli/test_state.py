"""`cdc-daemon state` as people use it, on a state that the store has made."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from cdc_daemon.events import Change, ChangeKind, Position
from cdc_daemon.state import Deaf, IndexWanted, Part, Staged, Wanted
from tests.generators.fakes import TEXT, table
from tests.generators.states import new_store

if TYPE_CHECKING:
    from pathlib import Path

HOTEL = table("id", "name", "city")
BY_CITY = IndexWanted("public.hotel", (Part("city", TEXT),))
CONFIGURATION = """\
name: pipe
source: {type: postgres, dsn: "host=localhost"}
sink: {type: opensearch, hosts: ["http://localhost:9200"]}
projections:
  hotels: {from: public.hotel, fields: "*"}
state: {path: DATA}
"""


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `cdc-daemon state ...` in a process of its own."""
    code = "from cdc_daemon.cli import main; main()"
    whole = [sys.executable, "-c", code, "state", *arguments]
    return subprocess.run(whole, capture_output=True, text=True, check=False, cwd=cwd)


def test_the_commands_show_compact_and_give_up(tmp_path: Path) -> None:
    """On the folder that the configuration names; without a state they say so."""
    (tmp_path / "cdc-daemon.yaml").write_text(CONFIGURATION.replace("DATA", str(tmp_path)))
    none = command("inspect", cwd=tmp_path)
    assert none.returncode == 6
    assert "there is no state" in none.stderr
    with new_store(tmp_path / "pipe.state") as store:
        store.fit(Wanted((HOTEL,), (BY_CITY,), projections=("hotels",)))
        staged = Staged(store.tables, tmp_path, 10**9)
        for n in range(2000):
            row = [b"%d" % n, b'"%b"' % (b"h" * 80), b'"city"']
            staged.put(Change(HOTEL, ChangeKind.INSERT, list(row)))
        store.write(lambda batch: batch.apply(staged, Position(0x16B374D848), Deaf()))
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
