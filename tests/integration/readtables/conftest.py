"""What the tests of read tables share: daemons that write into the database that they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.generators.daemons import StartDaemon, daemons
from tests.generators.read_tables import TableSearch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database


@pytest.fixture
def tables(database: Database) -> TableSearch:
    """Queries of the read tables in the test's database."""
    return TableSearch(database.dsn)


@pytest.fixture
def start_daemon(database: Database, tmp_path: Path) -> Iterator[StartDaemon]:
    """Run daemons on the test's database, whose read tables are there too."""
    sink = {"type": "postgres", "dsn": database.dsn}
    with daemons(database.dsn, sink, tmp_path) as make:
        yield make
