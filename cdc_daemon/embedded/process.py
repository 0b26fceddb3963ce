"""Runs one server process: start, wait until ready, stop, kill, freeze; never outlives us."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from cdc_daemon.embedded.errors import EmbeddedError
from cdc_daemon.embedded.guard import Guard
from cdc_daemon.embedded.ports import HOST, require_free
from cdc_daemon.embedded.process_tree import kill_tree, send, tree
from cdc_daemon.embedded.progress import Progress, to_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.embedded.account import Account

POLL_SECONDS = 0.05
NOTICE_SECONDS = 10.0
LOG_LINES = 15
LOG_TAIL_BYTES = 16_384
UTF8_LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
MINIMAL_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": UTF8_LOCALE}
"""Servers see nothing of ours: PGDATA, JAVA_TOOL_OPTIONS and the like would change them."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one server, know that it is ready, and ask it to stop."""

    name: str
    """For people: `PostgreSQL 18`."""
    command: Sequence[str | Path]
    folder: Path
    """Everything the server writes; its working folder, and the place of `server.log`."""
    port: int
    account: Account | None
    is_ready: Callable[[], bool]
    stop_signals: Sequence[signal.Signals]
    """Asked in turn, each with its share of the time; SIGKILL comes last by itself."""
    start_seconds: float = 120.0
    environment: Mapping[str, str] = field(default_factory=dict)


class Server:
    """A server that can be stopped and started again on the same port and data folder."""

    def __init__(self, launch: Launch, progress: Progress = to_stderr) -> None:
        self._launch = launch
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self._paused: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def name(self) -> str:
        """For people: `PostgreSQL 18`."""
        return self._launch.name

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; the same for all restarts."""
        return self._launch.port

    @property
    def folder(self) -> Path:
        """Everything the server writes is in here."""
        return self._launch.folder

    @property
    def log(self) -> Path:
        """What the server said: its standard output and error."""
        return self._launch.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """The main process; None while it does not run."""
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        """Whether the main process is there (it may be frozen)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> float:
        """Start the server and return, once it is ready, how many seconds that took.

        Raises EmbeddedError if the port is taken, the server ends, or time is up. Does nothing
        if it runs.
        """
        if self.is_running:
            return 0.0
        self.kill()  # it may have ended by itself: clear away what was left of it
        require_free(self.port, self._launch.name)
        self._progress(f"{self._launch.name}: starting on {HOST}:{self.port}")
        began = time.monotonic()
        self._process = spawn(self._launch)
        self._guard = Guard(self._process.pid, self._launch.stop_signals[-1])
        atexit.register(self.stop)
        try:
            self._wait_until_ready(self._process, began)
        except BaseException:
            self.kill()
            raise
        seconds = time.monotonic() - began
        self._progress(f"{self._launch.name}: ready after {seconds:.1f} s")
        return seconds

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Ask the server to stop, wait for that, and kill it if it takes too long."""
        process = self._process
        if process is not None and self.is_running:
            self.resume()
            share = timeout_seconds / len(self._launch.stop_signals)
            for number in self._launch.stop_signals:
                process.send_signal(number)
                if _ends_within(process, share):
                    break
        self.kill()

    def kill(self) -> None:
        """SIGKILL the server and all its children: a crash. Does nothing if it does not run."""
        process, self._process = self._process, None
        atexit.unregister(self.stop)
        if process is not None and process.poll() is None:
            kill_tree(process)
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None
        self._paused = []

    def pause(self) -> None:
        """Freeze the server and all its children: connections stay, nothing answers."""
        if self.pid is not None:
            self._paused = tree(self.pid)
            for pid in self._paused:
                send(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        for pid in self._paused:
            send(pid, signal.SIGCONT)
        self._paused = []

    def _wait_until_ready(self, process: subprocess.Popen[bytes], began: float) -> None:
        notice = began + NOTICE_SECONDS
        while not self._launch.is_ready():
            if process.poll() is not None:
                what = f"ended with code {process.returncode} while starting"
                raise EmbeddedError(_obituary(self._launch, what))
            now = time.monotonic()
            if now - began > self._launch.start_seconds:
                limit = (
                    f"was not ready after {self._launch.start_seconds:.0f} s: a machine that is "
                    "busy may need longer, so try again when it isn't"
                )
                raise EmbeddedError(_obituary(self._launch, limit))
            if now > notice:
                self._progress(f"{self._launch.name}: still starting, {now - began:.0f} s so far")
                notice = now + NOTICE_SECONDS
            time.sleep(POLL_SECONDS)


def spawn(launch: Launch, command: Sequence[str | Path] = ()) -> subprocess.Popen[bytes]:
    """Start the server, or another program in its place; both write to the server's log."""
    account = launch.account
    with (launch.folder / "server.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - a command of ours, not of users
            [str(part) for part in command or launch.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=launch.folder,
            env={**MINIMAL_ENVIRONMENT, **launch.environment},
            # Ctrl-C goes to the terminal's process group: the servers must not get it.
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def run(launch: Launch, command: Sequence[str | Path]) -> None:
    """Run a program that prepares the server, as the server's account, to its end.

    Raises EmbeddedError if it fails.
    """
    process = spawn(launch, command)
    try:
        code = process.wait(launch.start_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if code != 0:
        program = Path(command[0]).name
        raise EmbeddedError(_obituary(launch, f"can't be started: {program} ended with {code}"))


def last_lines(log: Path) -> list[str]:
    """The end of a log file, without Java's stack traces; empty if there is none."""
    try:
        with log.open("rb") as file:
            _seek_to_tail(file)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if not line.startswith("\tat ")][-LOG_LINES:]


def _obituary(launch: Launch, what: str) -> str:
    tail = "\n".join(f"  {line}" for line in last_lines(launch.folder / "server.log"))
    return f"{launch.name} {what}. The reason should be at the end of its log:\n{tail}"


def _seek_to_tail(file: IO[bytes]) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LOG_TAIL_BYTES))


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
