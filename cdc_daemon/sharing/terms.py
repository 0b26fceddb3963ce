"""Which pipelines replicas can share, and what each of them can't have then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.ports import Shareable

if TYPE_CHECKING:
    from cdc_daemon.config.models import Configuration
    from cdc_daemon.ports import Source

Role: TypeAlias = Literal["alone", "projector"]


def shareable(source: Source, configuration: Configuration) -> Shareable:
    """The source, as replicas share it. Raises ConfigurationError where there can't be any."""
    if not isinstance(source, Shareable):
        raise ConfigurationError(
            "--role projector: only one process at a time can follow this source. Have a relay "
            "write the log of the database to Kafka, and follow that: source.type: relay"
        )
    refused = {
        "standby": configuration.standby,
        "web.changes": configuration.web.changes is not None,
        "backfill.mode": configuration.backfill.mode == "only",
    }
    for key, is_set in refused.items():
        if is_set:
            raise ConfigurationError(
                f"--role projector: `{key}` can't be had where replicas share the documents. Take "
                "it out, or run one daemon without --role"
            )
    for name, policy in configuration.consistency.policies.items():
        if policy.strategy == "strong":
            raise ConfigurationError(
                f"--role projector: policy {name} has `strategy: strong`, and only the relay knows "
                "whether commits wait for this pipeline. Make it `causal`"
            )
    return source


def require_waitable(role: Role, configuration: Configuration) -> None:
    """Raise ConfigurationError where commits would wait for a pipeline that nobody hears of."""
    relayed = getattr(configuration.source, "relay", None)
    if role == "alone" and configuration.consistency.strong and relayed:
        raise ConfigurationError(
            "`consistency.strong` with a source of type relay: commits wait for the relay, which "
            "hears of projectors only. Start it with --role projector, also where there is one"
        )


def require_alone(role: Role) -> None:
    """Raise ConfigurationError where a relay is to be shared."""
    if role != "alone":
        raise ConfigurationError(
            f"--role {role}: this pipeline is a relay (`relay`), which has no documents to share. "
            "Start it without --role; projectors have a configuration of their own, with "
            "source.type: relay and the log that this one writes"
        )
