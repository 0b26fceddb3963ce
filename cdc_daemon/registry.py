"""Finds connectors and the commands they bring, by entry point; ours and anyone's alike."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final, cast

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.nearest import nearest

if TYPE_CHECKING:
    from cdc_daemon.ports import SinkFactory, SourceFactory

SOURCES: Final = "cdc_daemon.sources"
SINKS: Final = "cdc_daemon.sinks"
COMMANDS: Final = "cdc_daemon.commands"


def sources() -> dict[str, EntryPoint]:
    """The installed sources by name; none of them is imported."""
    return _installed(SOURCES)


def sinks() -> dict[str, EntryPoint]:
    """The installed sinks by name; none of them is imported."""
    return _installed(SINKS)


def commands() -> dict[str, EntryPoint]:
    """The commands that connectors bring, by name; none of them is imported."""
    return _installed(COMMANDS)


def source_factory(name: object) -> SourceFactory:
    """What builds the source `name`; imports its connector, and with it the driver.

    Raises ConfigurationError, with the installed names, if there is none.
    """
    return cast("SourceFactory", _load("source", name, sources()))


def sink_factory(name: object) -> SinkFactory:
    """What builds the sink `name`; imports its connector, and with it the driver.

    Raises ConfigurationError, with the installed names, if there is none.
    """
    return cast("SinkFactory", _load("sink", name, sinks()))


def _installed(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, entry)
    return dict(sorted(found.items()))


def _load(kind: str, name: object, installed: dict[str, EntryPoint]) -> object:
    names = ", ".join(installed) or "none"
    if not isinstance(name, str):
        raise ConfigurationError(f"expected the type of the {kind}; installed: {names}")
    if name not in installed:
        suggestion = nearest(name, installed)
        hint = f'; did you mean "{suggestion}"?' if suggestion else ""
        raise ConfigurationError(f'unknown {kind} "{name}"; installed: {names}{hint}')
    try:
        return cast("object", installed[name].load())
    except Exception as error:
        raise ConfigurationError(
            f'the {kind} "{name}" can\'t be loaded from {installed[name].value}: {error}'
        ) from error
