"""Policies: what a read waits for, by name, or by function and class of user. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from cdc_daemon.config.consistency import DEFAULT_TIMEOUT_SECONDS, EVENTUAL, PolicyConfig

if TYPE_CHECKING:
    from cdc_daemon.config.consistency import ConsistencyConfig, RuleConfig

Strategy = Literal["eventual", "causal", "strong"]
UNNAMED: Final = ""
"""Stands for the name of what is meant where a request names no policy."""


class Policy(NamedTuple):
    """One of them, as it is applied."""

    name: str
    strategy: Strategy
    timeout_seconds: float
    on_timeout: str
    max_staleness_seconds: float | None

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {name: value for name, value in self._asdict().items() if name != "name"}


class Policies:
    """Those of a configuration."""

    def __init__(self, config: ConsistencyConfig) -> None:
        self._config = config
        self.longest_seconds = config.max_timeout
        configured = {EVENTUAL: PolicyConfig(strategy="eventual"), **config.policies}
        self._by_name = {name: self._policy(name, one) for name, one in configured.items()}
        self.unnamed = self._policy(UNNAMED, PolicyConfig(strategy="causal"))
        """What a request means that names none: whoever asks to wait means to wait."""

    @property
    def names(self) -> list[str]:
        """Of all of them."""
        return sorted(self._by_name)

    def named(self, name: str) -> Policy | None:
        """The policy of that name, if there is one."""
        return self._by_name.get(name)

    def chosen(self, function: str | None, user: str | None) -> Policy:
        """What the first rule that fits names, or the default."""
        fitting = (rule.policy for rule in self._config.rules if _fits(rule, function, user))
        return self._by_name[next(fitting, self._config.default)]

    def shown(self) -> dict[str, Any]:
        """As JSON: all that a client needs to choose by itself."""
        return {
            "default": self._config.default,
            "policies": {name: policy.shown() for name, policy in self._by_name.items()},
            "rules": [rule.model_dump() for rule in self._config.rules],
        }

    def _policy(self, name: str, config: PolicyConfig) -> Policy:
        given = DEFAULT_TIMEOUT_SECONDS if config.timeout is None else config.timeout
        return Policy(
            name,
            config.strategy,
            min(given, self.longest_seconds),
            config.on_timeout,
            config.max_staleness,
        )


def _fits(rule: RuleConfig, function: str | None, user: str | None) -> bool:
    pairs = ((rule.function, function), (rule.user, user))
    return all(
        pattern is None or (name is not None and fnmatchcase(name, pattern))
        for pattern, name in pairs
    )
