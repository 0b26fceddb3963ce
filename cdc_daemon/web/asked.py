"""What a request to wait asks for: every mistake in it is said, none is guessed around. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, get_args

import orjson

from cdc_daemon.consistency.policies import Strategy
from cdc_daemon.consistency.waiting import What
from cdc_daemon.nearest import nearest
from cdc_daemon.quantities import duration_text, seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cdc_daemon.consistency.policies import Policies, Policy

NAMES: Final = ("token", "projection", "id", "timeout", "policy", "function", "user", "strategy")
_BAD: Final = 400
_UNKNOWN: Final = 404


class RefusedError(Exception):
    """The request can't be served as it is."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Asked(NamedTuple):
    """What is waited for, and how."""

    tokens: tuple[str, ...]
    what: What
    policy: Policy
    timeout_seconds: float
    began: float
    """When it came (monotonic seconds)."""


class Asking:
    """Reads requests, as the configuration has it."""

    def __init__(self, policies: Policies, projections: Collection[str]) -> None:
        self._policies = policies
        self._projections = projections

    def read(self, query: Sequence[tuple[str, str]], now: float) -> Asked:
        """What the query of a request says that has come `now`. Raises RefusedError."""
        tokens = tuple(value for name, value in query if name == "token")
        given = self._once([one for one in query if one[0] != "token"])
        policy = self._policy(given)
        return Asked(
            tokens,
            self._what(given.get("projection"), given.get("id")),
            policy,
            self._timeout(given.get("timeout"), policy),
            now,
        )

    def _once(self, query: Sequence[tuple[str, str]]) -> dict[str, str]:
        """One that is mistyped would be waited for by nobody."""
        given: dict[str, str] = {}
        for name, value in query:
            if name not in NAMES:
                meant = nearest(name, NAMES)
                guess = f"did you mean {meant}?" if meant else f"there are {', '.join(NAMES)}"
                raise RefusedError(_BAD, f"there is no parameter {name[:80]!r}: {guess}")
            if name in given:
                raise RefusedError(_BAD, f"{name} is given twice: only tokens may be several")
            given[name] = value
        return given

    def _what(self, projection: str | None, document_id: str | None) -> What:
        if projection is None and document_id is not None:
            raise RefusedError(_BAD, "an id needs its projection: add projection=NAME")
        if projection is not None and projection not in self._projections:
            raise RefusedError(_UNKNOWN, _no_such("projection", projection, self._projections))
        return What(projection, None if document_id is None else orjson.dumps(document_id))

    def _policy(self, given: Mapping[str, str]) -> Policy:
        name, function, user = (given.get(key) for key in ("policy", "function", "user"))
        if (strategy := given.get("strategy")) is not None:
            if {"policy", "function", "user"} & given.keys():
                raise RefusedError(
                    _BAD,
                    "give a strategy, or a policy, which has one (or function and user): not both",
                )
            return self._unnamed(strategy)
        if name is None:
            if function is None and user is None:
                return self._policies.unnamed
            return self._policies.chosen(function, user)
        if function is not None or user is not None:
            raise RefusedError(
                _BAD, "give a policy by its name, or function and user to have it chosen: not both"
            )
        found = self._policies.named(name)
        if found is None:
            raise RefusedError(_UNKNOWN, _no_such("policy", name, self._policies.names))
        return found

    def _unnamed(self, strategy: str) -> Policy:
        """That of whoever keeps their policies themselves."""
        for one in get_args(Strategy):
            if one == strategy:
                return self._policies.unnamed._replace(strategy=one)
        raise RefusedError(_BAD, _no_such("strategy", strategy, get_args(Strategy)))

    def _timeout(self, given: str | None, policy: Policy) -> float:
        if given is None:
            return policy.timeout_seconds
        try:
            timeout = seconds(given)
        except ValueError as error:
            raise RefusedError(_BAD, f"timeout: {error}; found {given[:80]!r}") from error
        longest = self._policies.longest_seconds
        if timeout > longest:
            most = duration_text(longest)
            raise RefusedError(
                _BAD, f"timeout: at most {most} (consistency.max_timeout); found {given[:80]!r}"
            )
        return timeout


def _no_such(kind: str, name: str, known: Collection[str]) -> str:
    meant = nearest(name, known)
    guess = f"did you mean {meant!r}?" if meant else f"there are {', '.join(sorted(known))}"
    return f"there is no {kind} {name[:80]!r}: {guess}"
