"""Brokers whose disks are full: nothing is lost, and nothing comes twice once there is room."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdc_daemon import embedded
from tests.conftest import OF_THE_MACHINE
from tests.generators.daemons import daemons
from tests.integration.relaying.conftest import StartRelay

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.conftest import Database

DISK_MEGABYTES = 260
"""Embedded Kafka wants 200 to begin with."""
LEFT_BYTES = 3_000_000
ROWS = 20_000
"""Of random digits, which can't be compressed: several times what is left."""
INSERT = """
insert into hotel select i, 'h', 0, 0, string_agg(md5(random()::text), '')
from generate_series(1, %s) i, generate_series(1, 20) group by i order by i
"""


@contextmanager
def small_disk() -> Iterator[Path]:
    """A disk of its own, where the account of servers may go."""
    folder = Path(tempfile.mkdtemp(prefix="cdc-full-", dir="/var/tmp"))
    folder.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    try:
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip(f"{OF_THE_MACHINE}only root may mount a file system")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
    finally:
        shutil.rmtree(folder)


def test_full_disks_are_waited_for(
    database: Database, hotels: psycopg.Connection, tmp_path: Path
) -> None:
    """The state says so meanwhile; with room, and the broker back, all is there once."""
    with (
        small_disk() as disk,
        embedded.kafka(data=disk / "kafka", progress=lambda _: None) as kafka,
    ):
        sink = {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers}
        with daemons(database.dsn, sink, tmp_path) as make:
            relay = StartRelay(make, tmp_path.name, kafka)()
            relay.daemon.wait_until()
            hotels.execute("insert into hotel values (0, 'before')")
            relay.daemon.catch_up()
            filler = disk / "filler"
            filler.write_bytes(bytes(shutil.disk_usage(disk).free - LEFT_BYTES))
            hotels.execute(INSERT, [ROWS])
            relay.daemon.wait_until("waiting")
            assert relay.daemon.health("readyz")[0] == 503
            assert relay.daemon.health("livez")[0] == 200
            filler.unlink()
            kafka.kill()
            kafka.start()
            relay.daemon.wait_until()
            relay.daemon.catch_up()
            found = [event["after"]["id"] for event in relay.events("public.hotel")]
            assert found == list(range(ROWS + 1))
