"""Compile the configured projections against the catalog: every mistake found, nothing touched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from cdc_daemon.ports import ReadModel
from cdc_daemon.projection.document import compile_document
from cdc_daemon.projection.drafting import FieldsDraft, Mistakes, Scope
from cdc_daemon.projection.expressions import CompiledExpression, compile_condition
from cdc_daemon.projection.flat import FlatProjection
from cdc_daemon.projection.identity import check_id, compile_id
from cdc_daemon.projection.joined.draft import PlanDraft
from cdc_daemon.projection.origin import FORMAT, digest, type_name
from cdc_daemon.projection.showing import Showing
from cdc_daemon.values.special import has_special

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cdc_daemon.config.projections import ProjectionConfig
    from cdc_daemon.events import Relation
    from cdc_daemon.ports import FieldSpec
    from cdc_daemon.projection.joined.plan import Plan


@dataclass(frozen=True, slots=True)
class Compiled:
    """All projections of a pipeline, and the relations they read, with only the columns read."""

    projections: tuple[FlatProjection, ...]
    relations: tuple[Relation, ...]
    missing: tuple[tuple[str, str], ...] = ()
    """Projection and field, where the column isn't there and the field is null."""
    plans: tuple[Plan, ...] = ()
    """Of the joined projections."""

    @property
    def mapped(self) -> tuple[FlatProjection | Plan, ...]:
        """All projections, flat and joined."""
        return (*self.projections, *self.plans)

    @property
    def models(self) -> list[ReadModel]:
        """Of all of them."""
        return [projection.model for projection in self.mapped]


def compile_projections(
    configs: Mapping[str, ProjectionConfig],
    relations: Mapping[str, Relation],
    locate: Callable[..., str],
    showing: Showing = Showing(),  # noqa: B008 - immutable
) -> Compiled:
    """Compile each projection; `relations` holds the whole table by the name in the configuration.

    Raises ConfigurationError with every mistake, each with file and line.
    """
    mistakes = Mistakes(locate)
    tables = one_for_each_table(relations)
    flat = [
        Draft(name, config, tables[config.table], mistakes, showing)
        for name, config in configs.items()
        if not config.is_joined
    ]
    joined = [
        PlanDraft(name, config, tables, mistakes, showing)
        for name, config in configs.items()
        if config.is_joined
    ]
    mistakes.raise_if_any()
    reads = [*(one.reads for one in flat), *(one.reads for one in joined)]
    opens = {*chain.from_iterable([*(one.opens for one in flat), *(one.opens for one in joined)])}
    narrowed = {
        table: expecting(
            relation, [draft for draft in flat if draft.table is table], is_open=table in opens
        )
        for table, relation in narrow(tables.values(), chain.from_iterable(reads)).items()
    }
    return Compiled(
        tuple(draft.compile(narrowed[draft.table]) for draft in flat),
        tuple(narrowed.values()),
        tuple((draft.name, name) for draft in flat for name in draft.missing),
        tuple(draft.compile(narrowed) for draft in joined),
    )


def compile_plan(
    name: str,
    config: ProjectionConfig,
    relations: Mapping[str, Relation],
    locate: Callable[..., str],
    showing: Showing,
) -> Plan:
    """The plan of one projection, be it flat or joined. Raises ConfigurationError."""
    mistakes = Mistakes(locate)
    tables = one_for_each_table(relations)
    draft = PlanDraft(name, config, tables, mistakes, showing)
    mistakes.raise_if_any()
    return draft.compile(narrow(tables.values(), draft.reads))


def one_for_each_table(relations: Mapping[str, Relation]) -> dict[str, Relation]:
    """A table may be named in two ways (`hotel`, `public.hotel`): the stream has it once."""
    tables = {relation.qualified_name: relation for relation in relations.values()}
    return {name: tables[relation.qualified_name] for name, relation in relations.items()}


def narrow(
    tables: Iterable[Relation], reads: Iterable[tuple[Relation, str]]
) -> dict[Relation, Relation]:
    """Each table that is read, with only the columns that are."""
    read = set(reads)
    narrowed: dict[Relation, Relation] = {}
    for table in tables:
        columns = tuple(column for column in table.columns if (table, column.name) in read)
        computed = tuple(column for column in table.computed if (table, column.name) in read)
        if columns and table not in narrowed:
            narrowed[table] = replace(table, columns=columns, computed=computed)
    return narrowed


def expecting(relation: Relation, drafts: Sequence[Draft], *, is_open: bool) -> Relation:
    """With the columns to come that these drafts would show, or anybody who shows them all."""
    return replace(
        relation,
        is_open=is_open,
        missing=frozenset(name for draft in drafts for name in draft.missing.values()),
    )


class Draft:
    """One projection, checked against the whole table; compiled once the columns are known."""

    def __init__(
        self,
        name: str,
        config: ProjectionConfig,
        table: Relation,
        mistakes: Mistakes,
        showing: Showing,
    ) -> None:
        self.name = name
        self.config = config
        self.table = table
        path = ("projections", name)
        scope = Scope(table, table, mistakes, may_miss=config.missing_columns is None)
        origins = scope.origins((*path, "fields"), config.named_fields)
        self._fields = FieldsDraft(origins, config, showing, projection=name)
        self._fields.check_forms((*path, "fields"), mistakes)
        self._where: CompiledExpression | None = None
        if config.where is not None:
            self._where = scope.expression((*path, "where"), config.where, compile_condition)
        self._id = check_id(path, config, scope)

    @property
    def is_open(self) -> bool:
        """Whether it shows every column, those to come included."""
        return self.config.named_fields is None

    @property
    def opens(self) -> Iterator[Relation]:
        """The table, if it shows every column."""
        if self.is_open:
            yield self.table

    @property
    def missing(self) -> dict[str, str]:
        """Field to column, where that isn't there, and the field is null for it."""
        found = {origin.name: origin.missing for origin in self._fields.origins}
        return {field: column for field, column in found.items() if column is not None}

    @property
    def reads(self) -> Iterator[tuple[Relation, str]]:
        """Every column that the projection reads or computes."""
        return ((self.table, name) for name in self._reads | self._computes)

    @property
    def _reads(self) -> set[str]:
        return self._fields.reads | self._told_apart_by

    @property
    def _computes(self) -> set[str]:
        return self._fields.computes | self._told_apart_by_computing

    @property
    def _told_apart_by_computing(self) -> set[str]:
        """The generated columns that say whether a row has a document, and are in no row."""
        return set(self._where.computed if self._where else ())

    @property
    def _told_apart_by(self) -> set[str]:
        """The columns that say whether a row has a document, and which."""
        return {*self._id, *(self._where.columns if self._where else ())}

    def compile(self, relation: Relation) -> FlatProjection:
        """The projection over `relation`, which has the columns that are read."""
        where = None
        if self.config.where is not None:
            where = compile_condition(self.config.where, relation).test
        origins = self._fields.origins
        parts = [self._fields.part(origin, relation) for origin in origins]
        projection = FlatProjection(
            model=self._read_model(),
            relation=relation,
            reads=tuple(relation.index_of(name) for name in self._reads),
            id_of=compile_id(self._id, relation, self.config.id_template),
            body_of=compile_document(parts),
            includes=where,
            key=() if self._has_protected_id else self._id,
            columns_shown={
                origin.name: origin.shown.name
                for origin, part in zip(origins, parts, strict=True)
                if origin.shown and part.conversion.always is None
            },
            max_document_bytes=self.config.max_document_bytes,
        )
        if any(has_special(relation.columns[at].type) for at in projection.reads):
            body_of = compile_document(parts, with_special=True)
            projection.of_special = replace(projection, body_of=body_of)
        return projection

    @property
    def _has_protected_id(self) -> bool:
        return any(
            column.protection is not None
            for column in self.table.columns
            if column.name in self._id
        )

    def _read_model(self) -> ReadModel:
        specs = tuple(origin.spec for origin in self._fields.origins)
        index = self.config.index
        return ReadModel(
            name=self.name,
            fields=specs,
            fingerprint=self._fingerprint(specs),
            settings=dict(index.settings),
            mappings=dict(index.mappings),
            indexes=tuple(self.config.indexes),
            digests=self._digests(specs) if self.is_open else {},
        )

    def _digests(self, specs: Sequence[FieldSpec]) -> dict[str, str]:
        """Of each column: what a field of its name means."""
        return {
            spec.name: digest([type_name(spec.type), self._fields.meaning(origin), origin.making])
            for spec, origin in zip(specs, self._fields.origins, strict=True)
            if spec.type is not None
        }

    def _fingerprint(self, specs: Sequence[FieldSpec]) -> str:
        """Changes with all that changes documents or their index."""
        reads = self._told_apart_by if self.is_open else self._reads
        generates = reads | (self._told_apart_by_computing if self.is_open else self._computes)
        types = {column.name: column.type for column in self.table.columns if column.name in reads}
        shown = () if self.is_open else self._fields.origins
        said = {
            "format": FORMAT,
            "table": self.table.qualified_name,
            "fields": {origin.name: self._fields.meaning(origin) for origin in shown},
            "every_column": self.is_open,
            "where": self.config.where,
            "id": self._id,
            "columns": {name: type_name(type_) for name, type_ in types.items()},
            "replica_identity": self.table.replica_identity,
            "types": {
                spec.name: type_name(spec.type) for spec in specs if spec.type and not self.is_open
            },
            "index": self.config.index.model_dump(mode="json"),
        }
        if self.config.id_template is not None:
            said["id_template"] = self.config.id_template
        if self.config.indexes:
            said["indexes"] = self.config.indexes
        if protected := {
            column.name: column.protection.digest
            for column in self.table.columns
            if column.protection is not None and column.name in reads
        }:  # these are said only where there are any: what was loaded without stays as it is
            said["protected"] = protected
        if generated := {
            column.name: column.generated.expression
            for column in (*self.table.columns, *self.table.computed)
            if column.generated is not None and column.name in generates
        }:
            said["generated"] = generated
        return digest(said)
