"""The `relay:` section: changes that are passed on as they are, in place of projections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from cdc_daemon.config.names import table_name
from cdc_daemon.config.section import Section

if TYPE_CHECKING:
    from cdc_daemon.config.models import Configuration


class RelayConfig(Section):
    """Which changes are passed on."""

    tables: list[Annotated[str, AfterValidator(table_name)]] = Field(
        min_length=1,
        description="The tables, `schema.name`, as the catalog spells them (no SQL quotes). All of "
        "their columns are passed on.",
    )

    snapshot: Literal["initial", "never"] = Field(
        default="initial",
        description="Whether rows that are there already are relayed as well, as events of kind "
        "`r` beside what changes meanwhile: `initial`, once for each table; or `never`.",
    )

    @field_validator("tables")
    @classmethod
    def _names_each_once(cls, value: list[str]) -> list[str]:
        if twice := sorted({name for name in value if value.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: named twice")
        return value


def require_relay(configuration: Configuration) -> None:
    """What goes with `relay`, and what doesn't. Raises ValueError."""
    sink, source = (getattr(one, "type", "") for one in (configuration.sink, configuration.source))
    if configuration.projections:
        raise ValueError("`projections` and `relay` exclude each other: make two pipelines of them")
    if configuration.sinks or configuration.web.changes:
        raise ValueError(
            "`relay` has one `sink`, and neither `sinks` nor `web.changes`: take them out"
        )
    strong = configuration.consistency.strong
    if strong is not None and strong.exclude:
        raise ValueError(
            "`consistency.strong.exclude` names projections, and `relay` has none: take it out"
        )
    if strong is not None and strong.projectors and not getattr(configuration.sink, "log", None):
        raise ValueError(
            "`consistency.strong.projectors` names who reads the ordered log, and there is none: "
            "name it, `sink.log`"
        )
    if sink and not getattr(configuration.sink, "is_relay", False):
        raise ValueError(f"a sink of type {sink} can't be relayed to: name one of type kafka")
    if source and not getattr(configuration.source, "can_be_relayed", False):
        raise ValueError(
            f"a source of type {source} can't be relayed: name one that follows the log, of type "
            "postgres"
        )


def require_read_models(configuration: Configuration) -> None:
    """What goes without `relay`. Raises ValueError."""
    if configuration.consistency.strong and configuration.consistency.strong.projectors:
        raise ValueError(
            "`consistency.strong.projectors` says for whom commits wait through a relay, and this "
            "is none: take it out"
        )
    if not configuration.projections:
        raise ValueError(
            "neither `projections` nor `relay` is there: say which read models there are to be, or "
            "which tables are relayed"
        )
    if getattr(configuration.sink, "is_relay", False):
        raise ValueError(
            f"a sink of type {getattr(configuration.sink, 'type', '')} holds no read models: put "
            "`relay: {tables: [...]}` in the place of `projections`, or name another sink"
        )
