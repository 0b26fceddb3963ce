from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from ruamel.yaml import YAML

from cdc_daemon.embedded.postgres_binaries import binaries

if TYPE_CHECKING:
    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "how-to" / "read-your-writes.md"
EXAMPLE = ROOT / "deploy" / "examples" / "hotel"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:9645"
GUIDE_SECONDS = 120


@pytest.fixture
def hotel(database: Database, start_daemon: StartDaemon) -> RunningDaemon:
    """The example that the guide begins with."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for name in ("schema.sql", "rows.sql"):
            connection.execute((EXAMPLE / name).read_text(encoding="utf-8").encode())
    said = YAML(typ="safe").load((EXAMPLE / "cdc-daemon.yaml").read_text(encoding="utf-8"))
    daemon = start_daemon({"bookings": said["projections"]["bookings"]})
    daemon.wait_until("streaming")
    return daemon


def blocks() -> list[tuple[str, str]]:
    """The guide's code, with its language."""
    return BLOCK.findall(GUIDE.read_text(encoding="utf-8"))


def run(command: list[str], database: Database, opensearch: embedded.OpenSearchServer) -> str:
    """What it prints, in the environment that the guide speaks of."""
    programs = os.pathsep.join([str(binaries(18, lambda _: None)), os.environ["PATH"]])
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        timeout=GUIDE_SECONDS,
        env={
            **os.environ,
            "PATH": programs,
            "DATABASE_URL": database.dsn,
            "OPENSEARCH_URL": opensearch.url,
        },
    )
    return done.stdout


def test_the_programs_of_the_guide_show_their_bookings(
    hotel: RunningDaemon, database: Database, opensearch: embedded.OpenSearchServer
) -> None:
    """As they stand on the page, but for the port: Python, and what any language does."""
    program = next(code for language, code in blocks() if language == "python")
    told = run([sys.executable, "-c", program.replace(ADDRESS, hotel.url)], database, opensearch)
    assert re.search(r"'guest': 'Ada'.*'nights': 2", told)
    script = next(code for language, code in blocks() if "psql" in code)
    told = run(["bash", "-ec", script.replace(ADDRESS, hotel.url)], database, opensearch)
    answer, end = json.JSONDecoder().raw_decode(told)
    assert answer["reached"] is True
    assert json.loads(told[end:]) == {"hits": {"total": {"value": 1}}}


@pytest.mark.parametrize(("language", "code"), blocks())
def test_every_program_of_the_guide_can_be_read(language: str, code: str) -> None:
    """Python compiles it, and what it imports exists."""
    if language == "python":
        compile(code, "guide", "exec")
        for line in re.findall(r"^from cdc_daemon.*$", code, re.MULTILINE):
            if "django" not in line:
                exec(line, {})  # noqa: S102 - lines of our own page
