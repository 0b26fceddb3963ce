"""From a mapping and the whole tables to a plan: every mistake noted, nothing compiled before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.ports import ReadModel
from cdc_daemon.projection.drafting import Scope
from cdc_daemon.projection.identity import check_id, check_routing, compile_id
from cdc_daemon.projection.joined.context import Context
from cdc_daemon.projection.joined.levels import LevelDraft
from cdc_daemon.projection.joined.plan import Plan
from cdc_daemon.projection.origin import digest, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdc_daemon.config.projections import ProjectionConfig
    from cdc_daemon.events import Relation
    from cdc_daemon.projection.drafting import Mistakes
    from cdc_daemon.projection.showing import Showing

FORMAT: Final = 1
"""Part of every fingerprint: raised when documents of an unchanged mapping would come out anew."""


class PlanDraft:
    """One projection, checked against the whole tables."""

    def __init__(
        self,
        name: str,
        config: ProjectionConfig,
        tables: Mapping[str, Relation],
        mistakes: Mistakes,
        showing: Showing,
    ) -> None:
        self._name = name
        self._config = config
        path = ("projections", name)
        context = Context(name, config, tables, mistakes, showing)
        table = tables[config.table]
        self._root = LevelDraft(context, path, table, config)
        if config.is_joined:
            context.check_key((*path, "from"), table)
        scope = Scope(table, table, mistakes)
        self._id = check_id(path, config, scope)
        check_routing(path, config, scope)
        self._root.settle(())

    @property
    def reads(self) -> Iterator[tuple[Relation, str]]:
        """Every column that the projection reads or computes, of any table."""
        yield from self._root.reads
        routing = self._config.routing
        names = self._id if routing is None else (*self._id, routing)
        yield from ((self._root.table, name) for name in names)

    @property
    def opens(self) -> Iterator[Relation]:
        """The tables of which it shows every column, those to come included."""
        return self._root.opens

    def compile(self, narrowed: Mapping[Relation, Relation]) -> Plan:
        """The plan over the tables with the columns that are read."""
        root = self._root.compile(narrowed)
        index = self._config.index
        model = ReadModel(
            name=self._name,
            fields=self._root.specs,
            fingerprint=self._fingerprint(),
            settings=dict(index.settings),
            mappings=dict(index.mappings),
            indexes=tuple(self._config.indexes),
        )
        template, routing = self._config.id_template, self._config.routing
        return Plan(
            model=model,
            root=root,
            id=self._id,
            id_of=compile_id(self._id, root.relation, template),
            max_document_bytes=self._config.max_document_bytes,
            reads=frozenset((table.qualified_name, column) for table, column in self.reads),
            id_template=template,
            routing=routing,
            routing_of=None if routing is None else compile_id([routing], root.relation),
        )

    def _fingerprint(self) -> str:
        """Changes with all that changes documents or their index."""
        reads = set(self.reads)
        return digest(
            {
                "format": FORMAT,
                "root": self._root.meaning(),
                "id": [self._id, self._config.id_template],
                "routing": self._config.routing,
                "tables": {
                    table.qualified_name: _columns(table, reads)
                    for table in {one for one, _ in reads}
                },
                "index": self._config.index.model_dump(mode="json"),
                **({"indexes": self._config.indexes} if self._config.indexes else {}),
            }
        )


def _columns(table: Relation, reads: set[tuple[Relation, str]]) -> list[object]:
    """What is read of a table, in its order: rows are kept by it."""
    columns = [column for column in table.columns if (table, column.name) in reads]
    protections = [column.protection.digest if column.protection else None for column in columns]
    types = [[column.name, type_name(column.type)] for column in columns]
    generated = {
        column.name: column.generated.expression
        for column in (*table.columns, *table.computed)
        if column.generated is not None and (table, column.name) in reads
    }
    return [table.replica_identity, types, protections, generated]
