"""The `consistency` section: which reads wait for what, by policies with names."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StrictInt, model_validator

from cdc_daemon.config.section import Section
from cdc_daemon.config.strong import StrongConfig
from cdc_daemon.nearest import nearest
from cdc_daemon.quantities import Duration, duration_text

EVENTUAL: Final = "eventual"
"""The policy that is always there."""
DEFAULT_TIMEOUT_SECONDS: Final = 10.0
"""Long beside a delay that is in order, short beside the patience of a person."""
_Name = Annotated[str, Field(min_length=1)]


class PolicyConfig(Section):
    """What a read waits for, and what to do where that takes too long."""

    strategy: Literal["eventual", "causal", "strong"] = Field(
        description="`eventual`: a read waits for nothing. `causal`: until it shows what its own "
        "client has written or seen. `strong`: the COMMIT has waited, so a read needn't; needs "
        "`consistency.strong`."
    )
    timeout: Duration | None = Field(
        default=None,
        description="How long a causal read waits. Default: 10s, or `max_timeout` if that is less.",
    )
    on_timeout: Literal["source", "stale", "error"] = Field(
        default="error",
        description="What the client does then: ask the source, take what searches show, or fail.",
    )
    max_staleness: Duration | None = Field(
        default=None,
        description="A read model that is further behind counts as not reached, whatever else is "
        "waited for.",
    )


class RuleConfig(Section):
    """Which policy holds for a function of the application, and a class of its users."""

    function: _Name | None = Field(
        default=None, description="The function; `*` stands for anything. Default: every one."
    )
    user: _Name | None = Field(
        default=None, description="The class of users; `*` stands for anything. Default: every one."
    )
    policy: _Name = Field(description="The policy that holds.")


class ConsistencyConfig(Section):
    """How consistent reads must be, chosen by name."""

    default: _Name = Field(default=EVENTUAL, description="The policy where no rule fits.")
    policies: dict[_Name, PolicyConfig] = Field(
        default_factory=dict,
        description="Policies by name. One is always there: `eventual`, which waits for nothing.",
    )
    rules: list[RuleConfig] = Field(
        default_factory=list, description="Which policy holds where: the first that fits."
    )
    # A waiter takes about 10 kB; so many requests at the same time are a flood, or a mistake.
    max_waiters: StrictInt = Field(
        default=10_000, ge=1, description="More requests that wait at the same time are refused."
    )
    # Longer than any proxy keeps a request open by default.
    max_timeout: Duration = Field(
        default=60.0, gt=0, description="The longest timeout that a request may ask for."
    )
    strong: StrongConfig | None = Field(
        default=None,
        description="Let commits wait until searches find what they wrote; of a relay, until Kafka "
        "has it, or searches of projectors find it. Default: they can't.",
    )

    @model_validator(mode="after")
    def _names_policies_that_are_there(self) -> ConsistencyConfig:
        known = {EVENTUAL, *self.policies}
        for name in (self.default, *(rule.policy for rule in self.rules)):
            if name not in known:
                meant = nearest(name, known)
                guess = f'did you mean "{meant}"?' if meant else f"there are: {sorted(known)}"
                raise ValueError(f'there is no policy "{name}" in `policies`; {guess}')
        return self

    @model_validator(mode="after")
    def _lets_commits_wait_where_reads_rely_on_it(self) -> ConsistencyConfig:
        relying = [name for name, one in self.policies.items() if one.strategy == "strong"]
        if relying and self.strong is None:
            raise ValueError(
                f'policy "{relying[0]}" has `strategy: strong`, and no commit can wait without '
                "`consistency.strong`: add `strong: {}`, which needs a source of type postgres, or "
                "make it `causal`"
            )
        return self

    @model_validator(mode="after")
    def _has_timeouts_that_may_be(self) -> ConsistencyConfig:
        for name, policy in self.policies.items():
            if policy.timeout is not None and policy.timeout > self.max_timeout:
                raise ValueError(
                    f'the timeout of policy "{name}" is longer than `max_timeout`, which is '
                    f"{duration_text(self.max_timeout)}"
                )
        return self
