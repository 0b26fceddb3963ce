"""Answers by their idempotency keys: who asks again gets the one that was given. Pure.

Kept in memory, a bounded number for a bounded time. What is forgotten, as over a restart, is done
once more: the versions of documents make that harmless.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, NamedTuple, TypeVar

MOST: Final = 10_000
"""About 10 MB; at 100 requests a second those of the last 100 seconds."""
LIFETIME_SECONDS: Final = 600.0
"""Whoever repeats a request does so within seconds; a job that was restarted, within minutes."""

Answer = TypeVar("Answer")


class OtherRequestError(Exception):
    """The key was another request's."""


class Kept(NamedTuple, Generic[Answer]):
    """One request's."""

    digest: bytes
    answer: Answer
    since: float


class Answers(Generic[Answer]):
    """Those of one daemon. One thread calls it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Kept[Answer]] = OrderedDict()

    def find(self, key: tuple[str, str], digest: bytes, now: float) -> Answer | None:
        """What the same request was answered, or is being; the key with its owner's name.

        Raises OtherRequestError where the key came with another one.
        """
        self._forget_old(now)
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.digest != digest:
            raise OtherRequestError
        return kept.answer

    def keep(self, key: tuple[str, str], digest: bytes, answer: Answer, now: float) -> None:
        """Have it found from now on."""
        self._kept[key] = Kept(digest, answer, now)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def forget(self, key: tuple[str, str]) -> None:
        """It is to be done once more: it has come to nothing."""
        self._kept.pop(key, None)

    def _forget_old(self, now: float) -> None:
        while self._kept:
            key, kept = next(iter(self._kept.items()))
            if now - kept.since < LIFETIME_SECONDS:
                break
            del self._kept[key]
