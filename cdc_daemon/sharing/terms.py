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
    return source


def require_alone(role: Role) -> None:
    """Raise ConfigurationError where a relay is to be shared."""
    if role != "alone":
        raise ConfigurationError(
            f"--role {role}: this pipeline is a relay (`relay`), which has no documents to share. "
            "Start it without --role; projectors have a configuration of their own, with "
            "source.type: relay and the log that this one writes"
        )
