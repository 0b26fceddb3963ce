"""Explains a configuration: the SQL that yields documents from the source, and who shows a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon import registry
from cdc_daemon.assembly import Look, wanted
from cdc_daemon.errors import ConfigurationError, RetryError, SourceError
from cdc_daemon.nearest import nearest
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_plan
from cdc_daemon.projection.identity import compile_id
from cdc_daemon.projection.joined.sql import documents_sql
from cdc_daemon.projection.showing import Showing
from cdc_daemon.sinks import open_sink
from cdc_daemon.state import folder_of, identity_of
from cdc_daemon.state.offline import viewed

if TYPE_CHECKING:
    from cdc_daemon.assembly import Shown
    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.configured import Configured
    from cdc_daemon.ports import Sink, Source


class Explanation(NamedTuple):
    """Who shows a row."""

    table: str
    position: str
    """Where the state is that was asked."""
    ways: list[Shown]


def showing(configured: Configured, table: str, key: str) -> Explanation:
    """The documents of joined read models that show the row of that key, by the state.

    Raises StateError where there is no state that can be asked, ConfigurationError where it has no
    such row.
    """
    config, plans = configured.configuration, configured.compiled.plans
    relations = {one.qualified_name: one for plan in plans for one in plan.relations}
    names = {name.partition(".")[2]: name for name in relations}
    relation = relations.get(names.get(table, table))
    if relation is None:
        close = nearest(table, [*relations, *names])
        hint = f"; did you mean {close}?" if close else ""
        raise ConfigurationError(f"no joined read model reads a table {table}{hint}")
    id_of = compile_id(identity_of(relation), relation)
    with viewed(folder_of(config.state.path, config.name), wanted(plans)) as view:
        ways = Look(plans, view).showing(relation, key, id_of)
        position = view.read(lambda batch: batch.position)
    if ways is None:
        raise ConfigurationError(f"the state has no row {key} of {relation.qualified_name}")
    return Explanation(relation.qualified_name, configured.source.show(position), ways)


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
    sink: Sink = open_sink(configuration)
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
