"""Waits until a read model shows what a client has written or seen. Pure: it yields steps."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.client.asking import TRY_ANOTHER, ask
from cdc_daemon.client.errors import RefusedError, TokenRefusedError
from cdc_daemon.client.outcome import Outcome
from cdc_daemon.client.steps import Pause
from cdc_daemon.client.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.client.asking import Parameters
    from cdc_daemon.client.daemons import Daemons
    from cdc_daemon.client.policies import Policy
    from cdc_daemon.client.session import Session
    from cdc_daemon.client.steps import Answer, Steps

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
"""As daemons have it: long beside a delay that is in order, short beside patience."""
WAIT_PATH: Final = "/api/v1/wait"
WAIT_KEYS: Final = frozenset({"reached", "searchable", "staleness_seconds", "epoch"})
REACHED: Final = 200
NOT_REACHED: Final = 504
OTHER_EPOCH: Final = 409
BEYOND_THE_END: Final = 422
REFUSED: Final = frozenset({OTHER_EPOCH, BEYOND_THE_END})
"""The tokens are at fault, not the time."""
FOLLOWS_SECONDS: Final = 0.2
"""How often a daemon is asked again that hasn't followed a failover yet: it takes seconds."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is waited for."""

    policy: Policy
    policy_name: str | None = None
    """As the daemon knows it."""
    projection: str | None = None
    id: str | None = None
    token: Token | None = None
    """Besides what the session holds; refused ones are an error only here."""
    timeout_seconds: float | None = None
    """In place of the policy's."""

    @property
    def chosen_seconds(self) -> float | None:
        """How long somebody has said that it may take in all."""
        given = self.timeout_seconds
        return self.policy.timeout_seconds if given is None else given

    @property
    def within_seconds(self) -> float:
        """How long it may take in all."""
        chosen = self.chosen_seconds
        return DEFAULT_TIMEOUT_SECONDS if chosen is None else chosen

    @property
    def _told_strategy(self) -> str | None:
        """Of a policy that the daemon doesn't know, where it isn't what it takes for granted."""
        strategy = self.policy.strategy
        return None if self.policy_name is not None or strategy == "causal" else strategy

    def parameters(self, tokens: Sequence[Token], timeout_seconds: float) -> Parameters:
        """The query of the request; a daemon's own timeout may be less than ours."""
        named = {
            "projection": self.projection,
            "id": self.id,
            "policy": self.policy_name,
            "strategy": self._told_strategy,
            "timeout": None if self.chosen_seconds is None else f"{timeout_seconds:.3f}",
        }
        given = ((name, value) for name, value in named.items() if value is not None)
        return (*(("token", str(token)) for token in tokens), *given)


class Waiting:
    """One wait: asks again where another question has a better answer."""

    def __init__(
        self,
        daemons: Daemons,
        wish: Wish,
        session: Session | None,
        clock: Callable[[], float],
        began: float,
    ) -> None:
        self._daemons = daemons
        self._wish = wish
        self._session = session
        self._clock = clock
        self._began = began

    def steps(self) -> Steps[Outcome]:
        """The outcome. Raises RefusedError for what will never be answered otherwise."""
        tokens = self._first_tokens()
        while True:
            answer = yield from self._ask(tokens)
            if answer.status not in REFUSED:
                return self._outcome(answer)
            if _is_behind(tokens, answer):
                if self._left() < FOLLOWS_SECONDS:
                    return self._outcome(answer)
                yield Pause(FOLLOWS_SECONDS)
                continue
            held = [token for token in tokens if token != self._wish.token]
            if self._session is None or not held:
                raise TokenRefusedError(answer.status, answer.reason)
            alone = yield from self._given_alone()
            if not alone.reached:
                return alone
            tokens = self._other_tokens(self._session, held, answer)

    def _given_alone(self) -> Steps[Outcome]:
        """A token that was given by hand may be to blame: it must not cost the session its own."""
        if self._wish.token is None:
            return Outcome(reached=True)
        alone = Waiting(self._daemons, self._wish, None, self._clock, self._began)
        return (yield from alone.steps())

    def _ask(self, tokens: Sequence[Token]) -> Steps[Answer]:
        wish = self._wish
        return ask(
            self._daemons,
            WAIT_PATH,
            lambda seconds: wish.parameters(tokens, seconds),
            self._left(),
            self._clock,
            WAIT_KEYS,
        )

    def _left(self) -> float:
        return max(self._began + self._wish.within_seconds - self._clock(), 0.0)

    def _given(self) -> list[Token]:
        return [] if self._wish.token is None else [self._wish.token]

    def _held(self, system: str | None) -> list[Token]:
        session = self._session
        return [] if session is None else session.positions(self._wish.projection, system)

    def _first_tokens(self) -> list[Token]:
        if self._wish.policy.strategy != "causal":
            return []
        system = self._system()
        if self._session is not None:
            system = self._session.likely(self._wish.projection, system)
        return [*self._given(), *self._held(system)]

    def _system(self) -> str | None:
        """The database that the daemons follow, as far as they have said."""
        epoch = self._daemons.epoch
        return None if epoch is None else Token(epoch, 0).system

    def _other_tokens(
        self, session: Session, refused: Sequence[Token], answer: Answer
    ) -> list[Token]:
        """What is left to wait for, where the daemon refuses what the session holds.

        Of another database it may be another pipeline's, and stays. What a failover may have lost
        is waited for on the new timeline. What lies beyond the end of that can't be waited for by
        anybody: the session begins anew.
        """
        given, followed = self._given(), _epoch(answer)
        system = None if followed is None else followed.system
        if answer.status == OTHER_EPOCH and all(token.system != system for token in refused):
            return given if system is None else [*given, *self._held(system)]
        if followed is not None and _are_earlier(refused, followed):
            logger.info("positions of this session are waited for after: %s", answer.reason)
            session.carry_over(followed)
            return [*given, *self._held(system)]
        logger.warning("positions of this session were lost with a history: %s", answer.reason)
        for token in refused:
            session.forget(token.system)
        return given

    def _outcome(self, answer: Answer) -> Outcome:
        if answer.status in {REACHED, NOT_REACHED}:
            return self._told(answer)
        if answer.status in TRY_ANOTHER | REFUSED:
            return self._made(reached=False, why=answer.reason)
        raise RefusedError(answer.status, answer.reason)

    def _told(self, answer: Answer) -> Outcome:
        body, most = answer.body, self._wish.policy.max_staleness_seconds
        position, session = body["searchable"], self._session
        searchable = None if position is None else Token.parse(f"{body['epoch']}:{position}")
        if searchable is not None and session is not None and self._wish.projection is not None:
            session.saw(self._wish.projection, searchable)
        outcome = self._made(
            reached=answer.status == REACHED,
            why=str(body.get("why", "")),
            staleness_seconds=body["staleness_seconds"],
            searchable=searchable,
        )
        stale = outcome.staleness_seconds
        if outcome.reached and most is not None and (stale is None or stale > most):
            why = f"searches are {stale} s behind the source; the policy allows {most:g} s"
            return replace(outcome, reached=False, why=why)
        return outcome

    def _made(self, **told: Any) -> Outcome:
        policy = self._wish.policy
        return Outcome(
            waited_seconds=self._clock() - self._began,
            policy=self._wish.policy_name,
            strategy=policy.strategy,
            on_timeout=policy.on_timeout,
            **told,
        )


def _epoch(answer: Answer) -> Token | None:
    """The history that this daemon follows, as a position at its beginning; None: unknown."""
    epoch = answer.body.get("epoch")
    return None if epoch is None else Token(epoch, 0)


def _are_earlier(tokens: Sequence[Token], followed: Token) -> bool:
    """Whether there are some of a timeline before the one that is followed."""
    return any(t.system == followed.system and t.timeline < followed.timeline for t in tokens)


def _is_behind(tokens: Sequence[Token], answer: Answer) -> bool:
    """Whether the daemon has yet to follow where a token was taken: a failover, just now."""
    followed = _epoch(answer)
    if followed is None:
        return False
    return any(t.system == followed.system and t.timeline > followed.timeline for t in tokens)
