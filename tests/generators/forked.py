"""Processes of `cdc-daemon` that needn't import it first: each is forked from one that has.

To import the daemon takes a second of a core, and tests start it hundreds of times. The command as
people start it is what tests/unit/cli and tests/acceptance/test_commands.py run as well.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

IMPORTED = [
    "cdc_daemon.cli.run",
    "cdc_daemon.process",
    "connectors.opensearch",
    "connectors.postgres",
    "connectors.postgres.strongcommand",
    "uvicorn.lifespan.off",
    "uvicorn.loops.asyncio",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
]
"""What a daemon imports by itself, and the server of its web side only when it begins to serve."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(IMPORTED)
COMMAND_SECONDS = 120.0


class Streams(NamedTuple):
    """What a process reads, and where it writes: all of it files."""

    given: str
    output: str
    errors: str


class Forked:
    """One process: as much of `subprocess.Popen` as tests need."""

    def __init__(
        self,
        arguments: Sequence[str],
        streams: Streams,
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """`cdc-daemon` with these arguments; `folder` and `environment` are ours by default.

        `prepare` is called in the new process, before it is `cdc-daemon`.
        """
        given = (
            list(arguments),
            streams,
            str(folder or Path.cwd()),
            dict(os.environ if environment is None else environment),
            prepare,
        )
        self._process = FORKS.Process(target=_become, args=given, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """How it has ended; None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """With -9."""
        self._process.kill()

    def wait(self, seconds: float) -> int:
        """The same, once it has. Raises TimeoutExpired."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("cdc-daemon", seconds)
        return self._process.exitcode


def daemon(
    file: Path,
    log: Path,
    prepare: Callable[[], None] | None = None,
    options: Sequence[str] = (),
) -> Forked:
    """The daemon of a configuration; what it says is appended to `log`."""
    streams = Streams(os.devnull, str(log), str(log))
    return Forked(["run", str(file), *options], streams, prepare=prepare)


def command(
    *arguments: str,
    answer: str = "",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `answer` is what a person would type."""
    with tempfile.TemporaryDirectory(prefix="cdc-test-") as made:
        streams = Streams(*(str(Path(made) / name) for name in ("given", "output", "errors")))
        Path(streams.given).write_text(answer, encoding="utf-8")
        process = Forked(arguments, streams, folder=folder, environment=environment)
        try:
            code = process.wait(COMMAND_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
        said = [Path(file).read_text(encoding="utf-8") for file in streams[1:]]
    return subprocess.CompletedProcess(arguments, code, *said)


def _become(
    arguments: Sequence[str],
    streams: Streams,
    folder: str,
    environment: Mapping[str, str],
    prepare: Callable[[], None] | None,
) -> None:
    """In the new process: be `cdc-daemon`, as if it had been started like that."""
    from cdc_daemon.cli import main  # noqa: PLC0415 - imported there already, and not by the tests

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = open(streams.given, encoding="utf-8")  # noqa: SIM115, PTH123 - till the end
    for stream, path in ((sys.stdout, streams.output), (sys.stderr, streams.errors)):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(opened, stream.fileno())
        os.close(opened)
    sys.argv = ["cdc-daemon", *arguments]
    if prepare is not None:
        prepare()
    main()
