"""What the tests of the delay share: a daemon that shows a table, and a prober from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.generators.prober import Prober
from tests.integration.pipeline.conftest import (  # noqa: F401 - the fixtures, for all tests here
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon


@dataclass
class Probed:
    """A daemon, and who looks at it from outside."""

    daemon: RunningDaemon
    prober: Prober
    dsn: str


@pytest.fixture
def probed(database: Database, start_daemon: StartDaemon, rest: Rest) -> Probed:  # noqa: F811 - the fixtures
    """A daemon that streams the table `item`, with another read model of another table."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("create table item (id int primary key)")
        connection.execute("create table other (id int primary key, t text)")
    daemon = start_daemon(
        {
            "items": {"from": "item", "fields": "*", "freshness": 0},
            "others": {"from": "other", "fields": "*", "freshness": 0},
        }
    )
    daemon.wait_until("streaming")
    daemon.catch_up()
    return Probed(daemon, Prober(database.dsn, rest), database.dsn)
