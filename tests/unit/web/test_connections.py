"""Connections are bounded by what the process may open."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cdc_daemon.web.connections import RESERVED_FILES

ASK = """
import json, resource
from cdc_daemon.web.connections import most_connections
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(json.dumps([most_connections(10_000), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "most"),
    [(300, 1500, 1500 - RESERVED_FILES), (300, 15_000, 10_000), (64, 200, 1)],
)
def test_as_many_as_the_limit_allows(soft: int, hard: int, most: int) -> None:
    """The soft one is raised; some files are left for the rest of the daemon."""
    program = [sys.executable, "-c", ASK.format(soft=soft, hard=hard)]
    said = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    assert json.loads(said) == [most, hard]
