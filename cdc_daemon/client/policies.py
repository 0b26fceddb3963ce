"""Policies: how consistent a read must be, and which one is meant by function and user. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from cdc_daemon.client.durations import require_seconds
from cdc_daemon.client.errors import ClientError, UnknownPolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

Strategy: TypeAlias = Literal["eventual", "causal", "strong"]
OnTimeout: TypeAlias = Literal["source", "stale", "error"]
STRATEGIES: Final = get_args(Strategy)
ON_TIMEOUT: Final = get_args(OnTimeout)


def _require(what: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise ClientError(f"{what} is one of {', '.join(words)}, not {word!r}")


@dataclass(frozen=True, slots=True)
class Policy:
    """How consistent a read must be, and what to do where that takes too long."""

    strategy: Strategy = "causal"
    timeout_seconds: float | None = None
    """None: the daemon's, which is 10 s, or less where its `consistency.max_timeout` is."""
    on_timeout: OnTimeout = "error"
    """`source`: the fallback; `stale`: search all the same, and say so; `error`."""
    max_staleness_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse a mistyped word: a read that was to wait would not."""
        _require("a strategy", self.strategy, STRATEGIES)
        _require("on_timeout", self.on_timeout, ON_TIMEOUT)
        for what in ("timeout_seconds", "max_staleness_seconds"):
            seconds: float | None = getattr(self, what)
            if seconds is not None:
                require_seconds(what, seconds)


BUILT_IN: Final = MappingProxyType({"eventual": Policy("eventual")})
"""What every daemon has, configured or not: so that it needs none to be known."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which policy a function has for a class of users; patterns with `*`, None fits all."""

    policy: str
    function: str | None = None
    user: str | None = None

    def fits(self, function: str | None, user: str | None) -> bool:
        """Whether both patterns fit."""
        return _fits(self.function, function) and _fits(self.user, user)


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies by name, and the rules that choose among them: the first that fits."""

    policies: Mapping[str, Policy]
    rules: tuple[Rule, ...] = ()
    default: str | None = None
    are_the_daemons: bool = field(default=False, compare=False)
    """The daemon knows them by these names, and counts them."""

    def __post_init__(self) -> None:
        """Find a rule that names no policy when the application starts."""
        for name in [*(rule.policy for rule in self.rules), self.default]:
            if name is not None:
                self.named(name)

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Policies:
        """From the answer of `/api/v1/policies`."""
        return cls(
            {name: _policy(told) for name, told in told["policies"].items()},
            tuple(
                Rule(rule["policy"], rule.get("function"), rule.get("user"))
                for rule in told["rules"]
            ),
            told["default"],
            are_the_daemons=True,
        )

    def named(self, name: str) -> Policy:
        """The policy of that name. Raises UnknownPolicyError."""
        found = self.policies.get(name, BUILT_IN.get(name))
        if found is None:
            known = ", ".join(sorted({*self.policies, *BUILT_IN}))
            raise UnknownPolicyError(
                f"there is no policy {name!r} (there are: {known}): add it to consistency.policies "
                "of the daemon's configuration, or to the policies that this client was given"
            )
        return found

    def told_name(self, name: str | None) -> str | None:
        """The name by which the daemon knows the policy; None if it was given to the client."""
        return name if self.are_the_daemons else None

    def chosen(self, function: str | None, user: str | None) -> tuple[Policy, str | None]:
        """What the first rule that fits names, or the default; eventual without either."""
        fitting = (rule.policy for rule in self.rules if rule.fits(function, user))
        name = next(fitting, self.default)
        return (Policy("eventual"), None) if name is None else (self.named(name), name)


def _policy(told: Mapping[str, Any]) -> Policy:
    return Policy(
        told["strategy"],
        told["timeout_seconds"],
        told["on_timeout"],
        told["max_staleness_seconds"],
    )


def _fits(pattern: str | None, name: str | None) -> bool:
    return pattern is None or (name is not None and fnmatchcase(name, pattern))
