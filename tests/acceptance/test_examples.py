"""The examples of deploy/examples: loaded and worked on, every document equal to its SQL; and their
walk-throughs, whose commands print what the page says.
"""  # noqa: D205 - one sentence

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson
import psycopg
import pytest
from ruamel.yaml import YAML

from cdc_daemon.embedded.postgres_binaries import binaries
from tests.generators.oracle import assert_equal
from tests.generators.rest import Refused, Rest
from tests.generators.running_daemon import RunningDaemon, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded
    from tests.conftest import Database

ROOT = Path(__file__).parents[2]
NAMES = ("hotel", "social")
COMMAND_SECONDS = 60
SHOWN_SECONDS = 30.0
"""Until a search sees what was committed, on a machine that does other things as well."""
TRANSACTIONS = 400
BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLLOWS = "cdc-daemon run"
SEES = ("curl ", "cdc-daemon preview ")
"""These look at what was committed before, once it is there."""


class Step(NamedTuple):
    """A command of a walk-through, and what the page says that it prints."""

    command: str
    printed: str


@dataclass(frozen=True, slots=True)
class Example:
    """A copy of an example, with a database and read models that are empty."""

    name: str
    folder: Path
    dsn: str
    opensearch: Rest

    @property
    def read_models(self) -> list[str]:
        """The aliases."""
        configuration = YAML(typ="safe").load((self.folder / "cdc-daemon.yaml").read_text())
        return list(configuration["projections"])

    @property
    def environment(self) -> dict[str, str]:
        """Programs of PostgreSQL and the daemon's own come first."""
        programs = (Path(sys.executable).parent, binaries(18, lambda _: None))
        return {**os.environ, "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]])}

    def answer(self, command: str) -> str:
        """What a command of the shell prints, run in the folder of the example."""
        if command.startswith("curl "):
            return self._asked(command)
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
            cwd=self.folder,
            env=self.environment,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def sees(self, step: Step) -> None:
        """Ask until the answer is as the page says."""
        try:
            until(lambda: self.answer(step.command) == step.printed, SHOWN_SECONDS, "as written")
        except AssertionError:
            assert self.answer(step.command) == step.printed, step.command

    def fill(self) -> None:
        """Make tables and rows."""
        for name in ("schema.sql", "rows.sql"):
            with psycopg.connect(self.dsn) as connection:
                connection.execute((self.folder / name).read_text().encode())

    def work(self, seed: int) -> None:
        """Let the workload commit its transactions."""
        self.answer(
            f"pgbench -n -f workload.sql -t {TRANSACTIONS} --random-seed={seed} "
            f'"$DATABASE_URL" 2> pgbench.log || {{ cat pgbench.log >&2; false; }}'
        )

    def compare(self) -> int:
        """Compare all documents with the SQL; return how many there are."""
        queries = {}
        for read_model in self.read_models:
            said = orjson.loads(
                self.answer(f"cdc-daemon explain {read_model} cdc-daemon.yaml --sql -o json")
            )
            queries[read_model] = said["sql"]
        return assert_equal(self.dsn, self.opensearch, queries)

    @contextmanager
    def running(self) -> Iterator[RunningDaemon]:
        """The daemon, once it follows; at the end it stops in order."""
        port = int(os.environ["CDC_DAEMON_LISTEN"].rpartition(":")[2])
        daemon = RunningDaemon(self.folder / "cdc-daemon.yaml", port, self.dsn)
        daemon.start()
        try:
            daemon.wait_until("streaming")
            yield daemon
            assert daemon.terminate() == 0
        finally:
            daemon.close()

    def forget(self) -> None:
        """Leave nothing in the OpenSearch that other tests use as well."""
        for pattern in [f"{name}-0*" for name in self.read_models]:
            self.opensearch.delete(f"/{pattern}?expand_wildcards=all")
        with suppress(Refused):  # nothing has been stored
            self.opensearch.delete(f"/cdc-daemon-checkpoints/_doc/{self.name}?refresh=true")

    def _asked(self, command: str) -> str:
        """What `curl -s [-H HEADER] URL [-d BODY]` prints; not every machine has it."""
        words = shlex.split(os.path.expandvars(command.replace("\\\n", " ")))
        url = next(word for word in words if word.startswith("http"))
        body = words[words.index("-d") + 1].encode() if "-d" in words else None
        path = "/" + url.split("/", 3)[3]
        try:
            return self.opensearch.text("POST" if body else "GET", path, body)
        except Refused as refused:
            return str(refused).partition(": ")[2]


@pytest.fixture(params=NAMES)
def example(
    request: pytest.FixtureRequest,
    database: Database,
    opensearch: embedded.OpenSearchServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Example]:
    """Each example, with the variables that its files refer to."""
    folder = tmp_path / "example"
    shutil.copytree(ROOT / "deploy" / "examples" / request.param, folder)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for name, value in {
        "DATABASE_URL": database.dsn,
        "OPENSEARCH_URL": opensearch.url,
        "CDC_DAEMON_DATA": str(tmp_path / "data"),
        "CDC_DAEMON_LISTEN": f"127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    made = Example(request.param, folder, database.dsn, Rest(opensearch.url))
    yield made
    made.forget()


def steps(page: str) -> Iterator[Step]:
    """The commands of a page in their sequence; of those without their output only `run`."""
    for kind, text in BLOCK.findall(page):
        if kind == "sh":
            yield from (Step(line, "") for line in text.splitlines() if line.startswith(FOLLOWS))
            continue
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            length = next(n for n in range(1, len(lines) + 1) if is_whole("".join(lines[:n])))
            yield Step("".join(lines[:length]).rstrip(), "".join(lines[length:]))


def is_whole(command: str) -> bool:
    """Whether a shell would run what was typed so far, rather than ask for more."""
    try:
        shlex.split(command)
    except ValueError:  # a quote is open
        return False
    return not command.endswith("\\\n")


def test_every_document_equals_its_sql(example: Example) -> None:
    """After the load, after transactions that are followed, and after some that were missed."""
    example.fill()
    with example.running() as daemon:
        daemon.catch_up()
        assert example.compare() > 1000
        example.work(seed=1)
        daemon.catch_up()
        example.compare()
    example.work(seed=2)
    with example.running() as daemon:
        daemon.catch_up()
        example.compare()
        assert daemon.events("dead_letter") == []


def test_the_walk_through_is_true(example: Example) -> None:
    """Every command of the page prints what the page says, once a search can see it."""
    page = (ROOT / "docs" / "tutorial" / f"{example.name}.md").read_text()
    with ExitStack() as stack:
        for step in steps(page):
            if step.command.startswith(FOLLOWS):
                stack.enter_context(example.running())
            elif step.command.startswith(SEES):
                example.sees(step)
            else:
                assert example.answer(step.command) == step.printed, step.command
