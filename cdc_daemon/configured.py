"""A configuration as commands look at it: both sides, its mappings compiled; touches nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon import registry
from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.ports import KeepsFiles, TableRequest
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.projection.showing import Showing
from cdc_daemon.sinks import open_sink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.config.models import Configuration
    from cdc_daemon.ports import Sink, Source
    from cdc_daemon.projection.compiler import Compiled


class Configured(NamedTuple):
    """What the configuration comes to."""

    configuration: Configuration
    source: Source
    sink: Sink
    compiled: Compiled


@contextmanager
def configured(loaded: LoadedConfiguration) -> Iterator[Configured]:
    """Ask the source about all tables. Raises ConfigurationError and SourceError."""
    config = loaded.configuration
    source: Source = registry.source_factory(_type(config.source))(
        config.source, pipeline=config.name
    )
    if isinstance(source, KeepsFiles):
        source.keep_in(config.state.path)
    sink: Sink = open_sink(config)
    try:
        names = config.tables
        try:
            relations = source.describe([TableRequest(name) for name in names])
        except RetryError as error:
            raise SourceError(str(error)) from error
        tables = dict(zip(names, relations, strict=True))
        showing = Showing(sink.form)
        compiled = compile_projections(config.projections, tables, loaded.locate, showing)
        yield Configured(config, source, sink, compiled)
    finally:
        source.close()
        sink.close()


def _type(section: object) -> str:
    return str(section.type)  # type: ignore[attr-defined]  # a connector's section has one
