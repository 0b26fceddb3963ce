"""Explains a projection of a configuration: the SQL that yields its documents from the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon import registry
from cdc_daemon.errors import ConfigurationError, RetryError, SourceError
from cdc_daemon.nearest import nearest
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_plan
from cdc_daemon.projection.joined.sql import documents_sql
from cdc_daemon.projection.showing import Showing

if TYPE_CHECKING:
    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.ports import Sink, Source


def document_sql(loaded: LoadedConfiguration, projection: str, only: str | None) -> str:
    """The statement for all documents of `projection`, or the one with id `only`.

    Asks the source about the tables. Raises ConfigurationError and SourceError.
    """
    configuration = loaded.configuration
    config = configuration.projections.get(projection)
    if config is None:
        close = nearest(projection, configuration.projections)
        raise ConfigurationError(
            f"{loaded.locate('projections')}: there is no projection {projection}"
            + (f"; did you mean {close}?" if close else "")
        )
    source: Source = registry.source_factory(_type(configuration.source))(
        configuration.source, pipeline=configuration.name
    )
    sink: Sink = registry.sink_factory(_type(configuration.sink))(
        configuration.sink, pipeline=configuration.name
    )
    names = list(dict.fromkeys(config.tables))
    try:
        relations = source.describe([TableRequest(name) for name in names])
    except RetryError as error:
        raise SourceError(str(error)) from error
    finally:
        source.close()
        sink.close()
    tables = dict(zip(names, relations, strict=True))
    plan = compile_plan(projection, config, tables, loaded.locate, Showing(sink.form))
    return documents_sql(plan, only)


def _type(section: object) -> str:
    return str(section.type)  # type: ignore[attr-defined]  # a connector's section has one
