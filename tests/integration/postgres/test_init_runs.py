"""What `cdc-daemon init` writes is run as it is, on real servers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import orjson
import pytest
import urllib3

from tests.integration.postgres.test_init import SHOP, init

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.embedded import OpenSearchServer
    from tests.conftest import Database
    from tests.integration.postgres.conftest import Connection


def test_the_daemon_runs_it(
    database: Database, connection: Connection, opensearch: OpenSearchServer, tmp_path: Path
) -> None:
    """Rows from before and from after the start are found by searches of both schemas' hotels."""
    connection.execute(SHOP)
    connection.execute("insert into hotel (name, city, tags) values ('Sacher', 'Vienna', '{a,b}')")
    connection.execute("""insert into "Ä b"."Hotel" values (1)""")
    assert init("--name", database.name, dsn=database.dsn, folder=tmp_path).returncode == 0
    file = tmp_path / "cdc-daemon.yaml"
    file.write_text(file.read_text() + "web: {listen: '127.0.0.1:0'}\n")
    environment = {"DATABASE_URL": database.dsn, "OPENSEARCH_URL": opensearch.url}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "cdc_daemon", "run", str(file)],
            env={**os.environ, **environment},
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        ) as daemon,
        urllib3.PoolManager() as http,
    ):
        try:
            wait_for(http, f"{opensearch.url}/hotel/_search?q=city:Vienna", daemon)
            connection.execute("insert into hotel (name, city) values ('Adler', 'Graz')")
            wait_for(http, f"{opensearch.url}/hotel/_search?q=city:Graz", daemon)
            wait_for(http, f"{opensearch.url}/b_hotel/_search", daemon)
        except BaseException as error:
            error.add_note((tmp_path / "log").read_text()[-3000:])
            raise
        finally:
            daemon.terminate()
    assert daemon.returncode == 0
    for index in ("hotel", "booking", "t_null", "sales_hotel", "b_hotel", "key_of_ranges"):
        http.request("DELETE", f"{opensearch.url}/{index}-000001")


def wait_for(http: urllib3.PoolManager, url: str, daemon: subprocess.Popen[bytes]) -> None:
    """Search until one document is found."""
    deadline = time.monotonic() + 60
    while True:
        answer = orjson.loads(http.request("GET", url).data)
        if answer.get("hits", {}).get("total", {}).get("value") == 1:
            return
        if daemon.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{url}: {answer}; the daemon's code is {daemon.returncode}")
        time.sleep(0.1)
