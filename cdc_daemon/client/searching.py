"""Reads that are as consistent as their policy asks. Pure: it yields steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

from cdc_daemon.client.asking import LEAST_SECONDS, ask
from cdc_daemon.client.durations import require_seconds
from cdc_daemon.client.errors import ClientError, StaleReadError
from cdc_daemon.client.outcome import Outcome, SearchResult
from cdc_daemon.client.policies import BUILT_IN, Policies, Policy
from cdc_daemon.client.steps import Fallback, Query
from cdc_daemon.client.tokens import Token
from cdc_daemon.client.waiting import REACHED, Waiting, Wish

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.client.daemons import Daemons, Pipelines
    from cdc_daemon.client.session import Session
    from cdc_daemon.client.steps import Answer, Steps

POLICIES_PATH: Final = "/api/v1/policies"
POLICIES_KEYS: Final = frozenset({"policies", "rules", "default"})
POLICIES_SECONDS: Final = 2.0
"""How long policies are waited for where none are known: longer than any daemon needs."""
WITHOUT_POLICY: Final = Policy(on_timeout="source")
"""Whoever gives a fallback wants it used; without one it is an error."""
_UNKNOWN: Final = (
    "no daemon has told its policies, so nobody knows how consistent this read must be: is one "
    "running, and its address right? Give ReadModels `policies` to need no daemon for that"
)
_BOTH: Final = "name a policy, or a function and a user for the rules to choose by, not both"


class Asked(TypedDict, total=False):
    """What may be said of any read."""

    id: str
    """Wait for this document only."""
    session: Session | None
    """Whose writes must be seen, and nothing older than it has seen before."""
    timeout: float | None
    """Seconds, in place of the policy's."""
    policy: str | Policy
    """By its name, or one of your own."""
    function: str
    """What the read is for: rules choose the policy by it."""
    user: str
    """The class of the user: rules choose by it, too."""


@dataclass(frozen=True, slots=True)
class Read:
    """A read as the application asks for it."""

    projection: str | None = None
    id: str | None = None
    token: Token | None = None
    session: Session | None = None
    timeout_seconds: float | None = None
    policy: str | Policy | None = None
    function: str | None = None
    user: str | None = None

    @classmethod
    def of(cls, token: Token | str | None, projection: str | None, asked: Asked) -> Read:
        """From the arguments of a call. Raises TokenError, and ClientError for a bad timeout."""
        timeout = asked.get("timeout")
        if timeout is not None:
            require_seconds("a timeout", timeout)
        return cls(
            projection,
            asked.get("id"),
            Token.parse(token) if isinstance(token, str) else token,
            asked.get("session"),
            timeout,
            asked.get("policy"),
            asked.get("function"),
            asked.get("user"),
        )

    @property
    def is_ruled(self) -> bool:
        """Whether its policy is one of those that the configuration names."""
        names = (self.policy, self.function, self.user)
        return any(isinstance(name, str) for name in names)


class Reader:
    """Decides for the reads of one client; the clients do what it yields."""

    def __init__(self, pipelines: Pipelines, clock: Callable[[], float]) -> None:
        self._pipelines = pipelines
        self._clock = clock

    def wait(self, read: Read) -> Steps[Outcome]:
        """Until the read model shows what is asked for, or the policy's time is up."""
        return (yield from self._wait(read, Policy(), always=True))

    def search(
        self, read: Read, query: Query, fallback: Callable[[], Any] | None
    ) -> Steps[SearchResult]:
        """Wait, then search, or do what the policy says. Raises StaleReadError."""
        outcome = yield from self._wait(read, WITHOUT_POLICY, always=False)
        if outcome.reached or outcome.on_timeout == "stale":
            return SearchResult((yield query), outcome)
        if outcome.on_timeout == "source" and fallback is not None:
            return SearchResult((yield Fallback(fallback)), outcome, from_source=True)
        raise StaleReadError(outcome)

    def _wait(self, read: Read, unnamed: Policy, *, always: bool) -> Steps[Outcome]:
        began = self._clock()
        daemons = self._pipelines.of(read.projection)
        chosen = yield from self._chosen(daemons, read, unnamed)
        if chosen is None:
            return Outcome(reached=False, why=_UNKNOWN, on_timeout=unnamed.on_timeout)
        wish = Wish(*chosen, read.projection, read.id, read.token, read.timeout_seconds)
        if not (always or _needs_daemon(read, wish.policy)):
            return Outcome(reached=True, policy=wish.policy_name, strategy=wish.policy.strategy)
        waiting = Waiting(daemons, wish, read.session, self._clock, began)
        return (yield from waiting.steps())

    def _chosen(
        self, daemons: Daemons, read: Read, unnamed: Policy
    ) -> Steps[tuple[Policy, str | None] | None]:
        """The policy, and its name for the daemon; None: it isn't known."""
        if read.policy is not None and (read.function is not None or read.user is not None):
            raise ClientError(_BOTH)
        if not read.is_ruled:
            return (read.policy if isinstance(read.policy, Policy) else unnamed), None
        policies = yield from self._policies(daemons, read.timeout_seconds)
        if policies is None:
            built_in = BUILT_IN.get(read.policy) if isinstance(read.policy, str) else None
            return None if built_in is None else (built_in, None)
        if isinstance(read.policy, str):
            return policies.named(read.policy), policies.told_name(read.policy)
        policy, name = policies.chosen(read.function, read.user)
        return policy, policies.told_name(name)

    def _policies(self, daemons: Daemons, timeout_seconds: float | None) -> Steps[Policies | None]:
        """As they are known, asked for again where that is long ago."""
        now = self._clock()
        if daemons.should_ask_policies(now):
            daemons.asking_policies(now)
            most = POLICIES_SECONDS if daemons.policies is None else LEAST_SECONDS
            seconds = most if timeout_seconds is None else min(most, timeout_seconds)
            answer: Answer = yield from ask(
                daemons, POLICIES_PATH, lambda _: (), seconds, self._clock, POLICIES_KEYS
            )
            told = Policies.parse(answer.body) if answer.status == REACHED else None
            daemons.told_policies(told, self._clock())
        return daemons.policies


def _needs_daemon(read: Read, policy: Policy) -> bool:
    """Whether a search waits for anything; an eventual one is free of us."""
    if policy.max_staleness_seconds is not None:
        return True
    return policy.strategy == "causal" and (read.token is not None or read.session is not None)
