"""One server process: what becomes of it when things end in one way or another."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.embedded import EmbeddedError, Server, process
from cdc_daemon.embedded.ports import free_port
from cdc_daemon.embedded.process import Launch
from cdc_daemon.embedded.process_tree import is_alive, tree

if TYPE_CHECKING:
    from collections.abc import Callable

# Starts a child, and ignores SIGTERM.
STUBBORN = "trap '' TERM; sleep 600 & echo started; wait"
LEAVES_A_SERVER = """
import signal, sys
from pathlib import Path
from cdc_daemon.embedded import Server
from cdc_daemon.embedded.process import Launch
launch = Launch("Sleeper", ["sleep", "600"], Path(sys.argv[1]), int(sys.argv[2]), None,
                lambda: True, (signal.SIGTERM,))
server = Server(launch)
server.start()
print(server.pid, flush=True)
"""
IS_KILLED = """
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""


def quiet(_: str) -> None:
    """Progress isn't what is tested here."""


def launch(
    folder: Path, command: list[str], is_ready: Callable[[], bool], *, seconds: float = 30.0
) -> Launch:
    """A server that has `seconds` to start."""
    return Launch(
        name="Test server",
        command=command,
        folder=folder,
        port=free_port(),
        account=None,
        is_ready=is_ready,
        stop_signals=(signal.SIGTERM,),
        start_seconds=seconds,
    )


def stubborn(folder: Path) -> Server:
    """A server with a child, which can't be asked to stop."""
    log = folder / "server.log"
    return Server(
        launch(folder, ["sh", "-c", STUBBORN], lambda: "started" in log.read_text()), quiet
    )


def within_seconds(seconds: float, becomes_true: Callable[[], bool]) -> bool:
    """Whether it does, in time."""
    deadline = time.monotonic() + seconds
    while not becomes_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_never_ready_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """A server that isn't ready in time is killed, and the message has the end of its log."""
    pids: list[int | None] = []

    def is_ready() -> bool:
        pids.append(server.pid)
        return False

    command = ["sh", "-c", "echo no luck today; exec sleep 600"]
    server = Server(launch(tmp_path, command, is_ready, seconds=1.0), quiet)
    with pytest.raises(EmbeddedError, match=r"(?s)not ready after 1 s: .*busy.*no luck today"):
        server.start()
    assert pids[0] is not None
    assert not is_alive(pids[0])


def test_a_long_start_is_said_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits sees that it goes on: that it starts, how long it has taken so far, the end."""
    monkeypatch.setattr(process, "NOTICE_SECONDS", 0.05)
    said: list[str] = []
    # Ready once it has been said twice, however slow the machine is.
    slow = launch(tmp_path, ["sleep", "600"], lambda: len(said) > 2)
    with Server(slow, said.append) as server:
        server.start()
    expected = (
        rf"Test server: starting on 127\.0\.0\.1:{slow.port}",
        r"Test server: still starting, \d+ s so far",
        r"Test server: still starting, \d+ s so far",
        r"Test server: ready after \d+\.\d s",
    )
    assert len(said) == len(expected), said
    assert all(map(re.fullmatch, expected, said)), said


def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    """A server that ignores the request to stop is killed together with its children."""
    with stubborn(tmp_path) as server:
        server.start()
        assert server.pid is not None
        pids = tree(server.pid)
        assert len(pids) >= 2
        server.stop(timeout_seconds=0.2)
        assert not any(map(is_alive, pids))
        assert server.pid is None


def test_server_does_not_get_the_terminals_signals(tmp_path: Path) -> None:
    """A server is in a session of its own, so Ctrl-C in the terminal does not reach it."""
    with stubborn(tmp_path) as server:
        server.start()
        assert server.pid is not None
        assert os.getsid(server.pid) == server.pid
        server.kill()


def test_pause_freezes_children_too(tmp_path: Path) -> None:
    """Pausing stops the whole tree of processes, and resuming lets it go on."""
    with stubborn(tmp_path) as server:
        server.start()
        assert server.pid is not None
        pids = tree(server.pid)[:2]
        server.pause()
        assert within_seconds(5, lambda: [_state(pid) for pid in pids] == ["T", "T"])
        server.resume()
        assert within_seconds(5, lambda: "T" not in [_state(pid) for pid in pids])
        server.kill()


def test_server_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    """A program that ends without stopping its server takes it along."""
    arguments = [sys.executable, "-c", LEAVES_A_SERVER, str(tmp_path), str(free_port())]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert not is_alive(int(ended.stdout))
    assert "Sleeper: ready after" in ended.stderr


def test_server_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    """SIGKILL of the starter ends the server too, though nothing could be done in order."""
    script = LEAVES_A_SERVER + IS_KILLED
    arguments = [sys.executable, "-c", script, str(tmp_path), str(free_port())]
    killed = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert within_seconds(10, lambda: not is_alive(int(killed.stdout)))


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
