"""Turns the signals that end programs into an exception, so that everything is stopped in order."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """One of the signals came; no `except Exception` on the way swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number
        """What shells expect of a program that such a signal ended."""


@contextmanager
def interruptions() -> Iterator[None]:
    """Raise Interrupted at the first signal within the context, and ignore those after it.

    Cleaning up takes seconds, and a second Ctrl-C must not leave servers behind.
    """

    def interrupt(number: int, _: object) -> None:
        ignore_signals()
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """From now on nothing cuts the end short."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
