"""What acceptance tests share: the command line as a process, and a shop on real servers."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import pytest

from tests.generators.forked import command
from tests.generators.rest import Rest
from tests.generators.running_daemon import RunningDaemon
from tests.integration.opensearch.conftest import (  # the same fixtures, for these tests as well
    certificates,
    proxy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["certificates", "proxy"]

TABLES = """
create table hotel (id int primary key, name text not null, stars int);
insert into hotel select i, 'Hotel ' || i, i % 5 + 1 from generate_series(1, 20) i;
create table booking (id int primary key);
create table keyless (name text)
"""


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def message(self) -> str:
        """What it said to people, without the lines of the log."""
        lines = self.stderr.splitlines()
        return "\n".join(line for line in lines if not line.startswith('{"'))

    @property
    def events(self) -> list[str]:
        """The names of what it logged."""
        lines = [line for line in self.stderr.splitlines() if line.startswith('{"')]
        return [orjson.loads(line)["event"] for line in lines]

    @property
    def json(self) -> Any:
        """Its data."""
        return orjson.loads(self.stdout)


@dataclass(slots=True)
class Shop:
    """A database with hotels, a pipeline of its own name, and commands on its configuration."""

    folder: Path
    dsn: str
    opensearch_url: str
    pipeline: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")
    secrets: set[str] = field(default_factory=set)
    """What must never be seen in any output."""
    port: int = 0
    """Where the daemon answers that was started last."""

    @property
    def name(self) -> str:
        """Of slot and publication."""
        return f"cdc_{self.pipeline}"

    @property
    def read_model(self) -> str:
        """The alias."""
        return f"{self.pipeline}_hotels"

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "cdc-daemon.yaml"

    def configure(self, **changes: Any) -> Path:
        """Write the configuration, with top-level keys changed or added (JSON is YAML too)."""
        whole = {
            "name": self.pipeline,
            "source": self.source(),
            "sink": self.sink(),
            "projections": self.projections(),
            "state": {"path": str(self.folder / "data")},
            "web": {"listen": "127.0.0.1:0"},
            "log": {"level": "debug"},  # whatever can be logged, it shows no secret
            **changes,
        }
        self.file.write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
        return self.file

    def reconfigured(self) -> Shop:
        """With its valid configuration again."""
        self.configure()
        return self

    def listening(self, port: int) -> Path:
        """The configuration as it is, but with the web side on `port`, in a file of its own."""
        whole = orjson.loads(self.file.read_bytes())
        whole["web"] = {"listen": f"127.0.0.1:{port}"}
        file = self.folder / "running.yaml"
        file.write_bytes(orjson.dumps(whole))
        return file

    def source(self, **changes: Any) -> dict[str, Any]:
        """The source section."""
        return {"type": "postgres", "dsn": self.dsn, "slot_wait": "500ms", **changes}

    def sink(self, **changes: Any) -> dict[str, Any]:
        """The sink section."""
        return {"type": "opensearch", "hosts": [self.opensearch_url], **changes}

    def projections(self, **changes: Any) -> dict[str, Any]:
        """The projections section: one flat read model."""
        fields = {"id": None, "name": {"type": "text"}, "stars": None}
        return {
            self.read_model: {"from": "public.hotel", "fields": fields, "freshness": 0, **changes}
        }

    def run(self, *arguments: str, **environment: str) -> Result:
        """Run `cdc-daemon` to its end. No secret may be seen, nor a traceback."""
        whole = {**os.environ, "NO_COLOR": "1", **environment}
        done = command(*arguments, folder=self.folder, environment=whole)
        result = Result(done.returncode, done.stdout, done.stderr)
        self.require_no_secret(result.stdout + result.stderr)
        assert "Traceback" not in result.stderr
        return result

    def require_no_secret(self, said: str) -> None:
        """Fail if `said` shows a secret."""
        for secret in self.secrets:
            assert secret not in said

    def fails(self, code: int, *phrases: str) -> Result:
        """`cdc-daemon run` ends with `code` and one paragraph that holds all of `phrases`."""
        result = self.run("run")
        assert result.code == code, result.stderr
        assert result.message.startswith("error: ")
        assert "\n\n" not in result.message
        for phrase in phrases:
            assert phrase in result.message
        return result

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database as its superuser."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def made(self) -> set[str]:
        """Slots, publications and indices of the pipeline that are there."""
        slots = self.query("select 'slot ' || slot_name from pg_replication_slots")
        publications = self.query("select 'publication ' || pubname from pg_publication")
        indices = Rest(self.opensearch_url).get(
            f"/_cat/indices/{self.pipeline}*?format=json&expand_wildcards=all"
        )
        found = {name for (name,) in slots + publications if name.endswith(f" {self.name}")}
        return found | {f"index {each['index']}" for each in indices}


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files, which servers of other accounts can reach."""
    folder = Path(tempfile.mkdtemp(prefix="cdc-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shop(tmp_path: Path, database: Any, opensearch: Any) -> Shop:
    """A shop in a fresh database, with a valid configuration."""
    made = Shop(tmp_path, database.dsn, opensearch.url, secrets={database.server.password})
    made.query(TABLES)
    made.configure()
    return made


@pytest.fixture
def reader(shop: Shop) -> Iterator[str]:
    """The DSN of a role that may read and replicate, and owns nothing."""
    role, secret = f"r_{shop.pipeline}", f"pw-{shop.pipeline}"
    shop.secrets.add(secret)
    shop.query(f"create role {role} login replication password '{secret}'")
    shop.query(f"grant select on all tables in schema public to {role}")
    before, _, after = shop.dsn.partition("://")
    yield f"{before}://{role}:{secret}@{after.partition('@')[2]}"
    shop.query(f"drop owned by {role}; drop role {role}")


@contextmanager
def running(shop: Shop, state: str = "streaming") -> Iterator[RunningDaemon]:
    """The daemon as a process, once it is in `state`; at the end it stops in order."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        shop.port = server.getsockname()[1]
    daemon = RunningDaemon(shop.listening(shop.port), shop.port, shop.dsn)
    daemon.start()
    try:
        daemon.wait_until(state)
        yield daemon
        assert daemon.terminate() == 0
    finally:
        daemon.close()
    shop.require_no_secret(daemon.said())
