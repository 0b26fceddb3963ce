"""Finds what a history of clients proves wrong: a search that did not find what it owed.

Each check is one pass in the order of time. A commit counts against a search only if it had
returned before the search was sent, so whatever clients did at the same moment accuses nobody.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from cdc_daemon.price.history import History, Search, Write

    Witness: TypeAlias = Write | Search

_began = attrgetter("began")
_ended = attrgetter("ended")
_version = attrgetter("version")
_key = attrgetter("key")
_client_and_key = attrgetter("client", "key")


@dataclass(frozen=True, slots=True)
class Violation:
    """A search that found less than `witness` had shown before."""

    search: Search
    witness: Witness
    """The newest write, or search, that it should have known of."""

    def __str__(self) -> str:
        search, witness = self.search, self.witness
        earlier = (search.began - witness.ended) * 1000
        return (
            f"client {search.client} found version {search.version} of {search.key}; client "
            f"{witness.client} had version {witness.version} {earlier:.1f} ms before it searched"
        )


def read_your_writes(history: History) -> list[Violation]:
    """Searches that miss what their own client had committed (or anything newer)."""
    return _violations(history.searches, history.writes, _client_and_key, _began)


def monotonic_reads(history: History) -> list[Violation]:
    """Searches that found something older than their own client had found before."""
    return _violations(history.searches, history.searches, _client_and_key, _began)


def missed_commits(history: History, until: Callable[[Search], float] = _began) -> list[Violation]:
    """Searches that miss what anybody had committed `until` then (or anything newer).

    For strong that is the moment when a search is sent, for eventual so much earlier.
    """
    return _violations(history.searches, history.writes, _key, until)


def staleness(history: History) -> list[float]:
    """For each search how many seconds its answer had been out of date when it was sent.

    Counted from the return of the first COMMIT that it should have shown and didn't; 0 if it
    showed all.
    """
    return [_since(moments, search) for search, moments in _with_moments(history)]


def _violations(
    searches: Sequence[Search],
    witnesses: Sequence[Witness],
    subject: Callable[[Witness], Hashable],
    until: Callable[[Search], float],
) -> list[Violation]:
    """Searches that found less than the newest witness of their subject that had ended by then."""
    return [
        Violation(search, witness)
        for search, witness in _owed(searches, witnesses, subject, until)
        if witness is not None and search.version < witness.version
    ]


def _owed(
    searches: Sequence[Search],
    witnesses: Sequence[Witness],
    subject: Callable[[Witness], Hashable],
    until: Callable[[Search], float],
) -> Iterator[tuple[Search, Witness | None]]:
    """Each search with the newest witness that had ended before `until` of it."""
    ended = iter(sorted(witnesses, key=_ended))
    following = next(ended, None)
    newest: dict[Hashable, Witness] = {}
    for search in sorted(searches, key=until):
        while following is not None and following.ended < until(search):
            about = subject(following)
            if about not in newest or newest[about].version < following.version:
                newest[about] = following
            following = next(ended, None)
        yield search, newest.get(subject(search))


class _Moments(NamedTuple):
    """When each version of a key, or a newer one, had first been committed."""

    versions: list[int]
    first: list[float]


def _with_moments(history: History) -> Iterator[tuple[Search, _Moments]]:
    writes: dict[str, list[Write]] = defaultdict(list)
    for write in sorted(history.writes, key=_version):
        writes[write.key].append(write)
    moments = {key: _moments(ascending) for key, ascending in writes.items()}
    nothing = _Moments([], [])
    return ((search, moments.get(search.key, nothing)) for search in history.searches)


def _moments(ascending: list[Write]) -> _Moments:
    backwards = accumulate((write.ended for write in reversed(ascending)), min)
    return _Moments([write.version for write in ascending], [*backwards][::-1])


def _since(moments: _Moments, search: Search) -> float:
    newer = bisect_right(moments.versions, search.version)
    return max(0.0, search.began - moments.first[newer]) if newer < len(moments.first) else 0.0
