"""The log as an operator gets it: one event a line, whoever says it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

CODE = """
import logging
from types import SimpleNamespace as Config
import structlog
from cdc_daemon import log
log.configure(Config(level={level!r}, format={format!r}), pipeline="shop")
log.configure(Config(level={level!r}, format={format!r}), pipeline="shop")
structlog.get_logger().info("streaming", after="0/1")
structlog.get_logger().debug("nudge_failed")
logging.getLogger("driver").warning("about %s", "TLS")
logging.getLogger("driver").info("chatter")
"""


def command(level: str = "info", form: str = "auto") -> list[str]:
    """A process that configures the log twice, as SIGHUP does, and logs a few events."""
    return [sys.executable, "-c", CODE.format(level=level, format=form)]


def logged(level: str = "info", form: str = "auto") -> str:
    """What it logs when nobody watches; nothing goes to stdout."""
    done = subprocess.run(command(level, form), check=True, capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr


def on_a_terminal(**environment: str) -> str:
    """What it logs on a terminal."""
    own, its = pty.openpty()
    whole = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | environment
    subprocess.run(command(), stdout=its, stderr=its, env=whole, check=True)
    shown = os.read(own, 65536).decode()
    os.close(its)
    os.close(own)
    return shown


def test_every_event_is_a_line_of_json() -> None:
    """Ours and the warnings of libraries, each once, with level, time and pipeline."""
    ours, theirs = map(json.loads, logged().splitlines())
    assert (ours["event"], ours["level"], ours["after"]) == ("streaming", "info", "0/1")
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"]) == ("library_says", "warning")
    assert (theirs["logger"], theirs["message"]) == ("driver", "about TLS")
    assert {ours["pipeline"], theirs["pipeline"]} == {"shop"}


def test_the_level_is_the_least_severe_that_is_logged() -> None:
    """`debug` adds, `error` leaves out; what libraries chat about is never logged."""
    assert "nudge_failed" in logged("debug")
    assert logged("error") == ""
    assert "chatter" not in logged("debug")


def test_colours_are_for_terminals() -> None:
    """There are colours on a terminal, none without one, none where NO_COLOR is set."""
    assert "\x1b[" in on_a_terminal()
    assert "\x1b[" not in on_a_terminal(NO_COLOR="1")
    assert "\x1b[" not in logged(form="console")
    assert "streaming" in logged(form="console")
