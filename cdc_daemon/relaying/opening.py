"""Builds the two sides of a relay, for the daemon and for commands that look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from cdc_daemon import registry
from cdc_daemon.errors import SourceError
from cdc_daemon.ports import KeepsFiles, Locates

if TYPE_CHECKING:
    from cdc_daemon.config.models import Configuration
    from cdc_daemon.ports import Relay, RelayFactory, Source


def open_located_source(configuration: Configuration) -> Source:
    """A source that says where its changes stand; connects to nothing yet.

    Raises SourceError where it can't.
    """
    source: Source = registry.source_factory(_type(configuration.source))(
        configuration.source, pipeline=configuration.name
    )
    if isinstance(source, KeepsFiles):
        source.keep_in(configuration.state.path)
    if not isinstance(source, Locates):
        raise SourceError(
            f"a source of type {_type(configuration.source)} can't be relayed: it doesn't say "
            "where its changes stand. Use one of type postgres"
        )
    source.locate()
    return source


def open_relay(configuration: Configuration) -> Relay:
    """What `sink` says; connects to nothing yet."""
    factory = cast("RelayFactory", registry.sink_factory(_type(configuration.sink)))
    return factory(configuration.sink, pipeline=configuration.name)


def _type(section: Any) -> str:
    return str(section.type)
