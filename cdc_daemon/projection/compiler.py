"""Compile the configured projections against the catalog: every mistake found, nothing touched."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.ports import ReadModel
from cdc_daemon.projection.document import Part, compile_document
from cdc_daemon.projection.expressions import (
    CompiledExpression,
    ExpressionError,
    compile_condition,
    compile_expression,
    excluded_column,
)
from cdc_daemon.projection.flat import FlatProjection
from cdc_daemon.projection.origin import FORMAT, Origin, digest, type_name
from cdc_daemon.projection.showing import Showing, of_computed, policy_of
from cdc_daemon.values import Form, id_encoder, join_id
from cdc_daemon.values.special import has_special

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cdc_daemon.config.models import ProjectionConfig
    from cdc_daemon.events import Column, Relation, Row
    from cdc_daemon.ports import FieldSpec

_SHORT: Final = frozenset({"int2", "int4", "int8", "uuid", "bool", "date", "timestamptz"})
"""Types whose text is never empty nor too long for an id: no check in the hot path."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """All projections of a pipeline, and the relations they read, with only the columns read."""

    projections: tuple[FlatProjection, ...]
    relations: tuple[Relation, ...]
    missing: tuple[tuple[str, str], ...] = ()
    """Projection and field, where the column isn't there and the field is null."""


class Mistakes:
    """Collects what is wrong, each with its place in the file."""

    def __init__(self, locate: Callable[..., str]) -> None:
        self._locate = locate
        self.lines: list[str] = []

    def add(self, path: tuple[str, ...], message: str) -> None:
        """Note one mistake."""
        dotted = ".".join(path)
        self.lines.append(f"{self._locate(*path)}: {dotted}: {message}")

    def raise_if_any(self) -> None:
        """Raise ConfigurationError with all of them."""
        if self.lines:
            raise ConfigurationError("\n".join(self.lines))


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
    # A table may be named in two ways (`hotel`, `public.hotel`): the stream has it once.
    tables = {relation.qualified_name: relation for relation in relations.values()}
    drafts = [
        Draft(name, config, tables[relations[config.table].qualified_name], mistakes, showing)
        for name, config in configs.items()
    ]
    mistakes.raise_if_any()
    narrowed: dict[Relation, Relation] = {}
    for relation in tables.values():
        read = {column for draft in drafts if draft.table is relation for column in draft.reads}
        if not read:
            continue
        columns = tuple(column for column in relation.columns if column.name in read)
        missing = {
            name for each in drafts if each.table is relation for name in each.missing.values()
        }
        narrowed[relation] = replace(
            relation,
            columns=columns,
            is_open=any(draft.is_open for draft in drafts if draft.table is relation),
            missing=frozenset(missing),
        )
    return Compiled(
        tuple(draft.compile(narrowed[draft.table]) for draft in drafts),
        tuple(narrowed.values()),
        tuple((draft.name, name) for draft in drafts for name in draft.missing),
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
        self._mistakes = mistakes
        self._showing = showing
        self.missing: dict[str, str] = {}
        """Field to column, where that isn't there, and the field is null for it."""
        self._origins = [*self._check_fields()]
        self._forms = {origin.name: self._check_form(origin) for origin in self._origins}
        self._where = self._check_where()
        self._id = self._check_id()

    @property
    def is_open(self) -> bool:
        """Whether it shows every column, those to come included."""
        return self.config.named_fields is None

    @property
    def reads(self) -> set[str]:
        """Every column that the projection reads."""
        names = {origin.shown.name for origin in self._origins if origin.shown is not None}
        expressions = [origin.expression for origin in self._origins] + [self._where]
        names.update(name for each in expressions if each is not None for name in each.columns)
        return names.union(self._id)

    def compile(self, relation: Relation) -> FlatProjection:
        """The projection over `relation`, which has the columns that are read."""
        where = None
        if self.config.where is not None:
            where = compile_condition(self.config.where, relation).test
        parts = [self._part(origin, relation) for origin in self._origins]
        projection = FlatProjection(
            model=self._read_model(),
            relation=relation,
            reads=tuple(relation.index_of(name) for name in self.reads),
            id_of=_compile_id(self._id, relation),
            body_of=compile_document(parts),
            includes=where,
            key=() if self._has_protected_id else self._id,
            columns_shown={
                origin.name: origin.shown.name
                for origin, part in zip(self._origins, parts, strict=True)
                if origin.shown and part.conversion.always is None
            },
            max_document_bytes=self.config.max_document_bytes,
        )
        if any(has_special(relation.columns[at].type) for at in projection.reads):
            body_of = compile_document(parts, with_special=True)
            projection.of_special = replace(projection, body_of=body_of)
        return projection

    def _check_fields(self) -> Iterable[Origin]:
        fields = self.config.named_fields
        if fields is None:
            for column in (*self.table.columns, *self.table.computed):
                computed = self._check_computed(("projections", self.name, "fields"), column)
                yield Origin(column.name, None, column, computed)
            return
        for name, config in fields.items():
            path = ("projections", self.name, "fields", name)
            if config.has_constant:
                yield Origin(name, config, None, None)
            elif config.expression is not None:
                expression = self._check_expression(
                    (*path, "expression"), config.expression, compile_expression
                )
                yield Origin(name, config, None, expression)
            else:
                found = self._check_shown(path, config.column or name)
                yield Origin(name, config, found, self._check_computed(path, found))

    def _check_computed(
        self, path: tuple[str, ...], column: Column | None
    ) -> CompiledExpression | None:
        """What stands in for a column that isn't in the row."""
        if column is None or column not in self.table.computed:
            return None
        quoted = '"{}"'.format(column.name.replace('"', '""'))
        return self._check_expression(path, quoted, compile_expression)

    def _check_shown(self, path: tuple[str, ...], name: str) -> Column | None:
        """The column that a field shows, None where it may be missing."""
        there = {*self.table.known, *self.table.excluded}
        if name not in there and self.config.missing_columns is None:
            self.missing[path[-1]] = name
            return None
        return self._check_column(path, name)

    def _check_column(self, path: tuple[str, ...], name: str) -> Column | None:
        columns = (*self.table.columns, *self.table.computed)
        for column in columns:
            if column.name == name:
                return column
        if name in self.table.excluded:
            self._mistakes.add(path, excluded_column(self.table, name))
            return None
        close = difflib.get_close_matches(name, [column.name for column in columns], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        self._mistakes.add(path, f"table {self.table.qualified_name} has no column {name}{hint}")
        return None

    def _check_expression(
        self,
        path: tuple[str, ...],
        sql: str,
        compile_it: Callable[[str, Relation], CompiledExpression],
    ) -> CompiledExpression | None:
        try:
            return compile_it(sql, self.table)
        except ExpressionError as error:
            self._mistakes.add(path, f"{error} (in: {sql})")
            return None

    def _check_form(self, origin: Origin) -> Form:
        spec = origin.spec
        try:
            return self._showing.form(spec, origin.config)
        except ConfigurationError as error:
            self._mistakes.add(("projections", self.name, "fields", origin.name), str(error))
            return Form.VALUE

    def _check_where(self) -> CompiledExpression | None:
        if self.config.where is None:
            return None
        path = ("projections", self.name, "where")
        return self._check_expression(path, self.config.where, compile_condition)

    def _check_id(self) -> tuple[str, ...]:
        path = ("projections", self.name, "id" if self.config.id else "from")
        if self.table.kind not in {"table", "partitioned"}:
            self._mistakes.add(
                path,
                f"{self.table.qualified_name} is a {self.table.kind}: its changes are not "
                "streamed. Map the tables under it",
            )
            return ()
        names = tuple(self.config.id or self.table.primary_key)
        if not names:
            self._mistakes.add(
                path,
                f"table {self.table.qualified_name} has no primary key: name the columns that make "
                "the document id in `id`",
            )
            return ()
        columns = [self._check_column(path, name) for name in names]
        found = [column for column in columns if column is not None]
        if len(found) == len(columns):
            self._check_identity(path, found)
        return tuple(column.name for column in found)

    @property
    def _has_protected_id(self) -> bool:
        return any(
            column.protection is not None
            for column in self.table.columns
            if column.name in self._id
        )

    def _check_identity(self, path: tuple[str, ...], columns: Sequence[Column]) -> None:
        """The id must be unique, and part of what the source sends of deleted rows."""
        names = {column.name for column in columns}
        table = self.table.qualified_name
        keys = [set(self.table.primary_key)]
        if self.table.replica_identity == "index":
            keys.append({column.name for column in self.table.columns if column.in_identity})
        missing = [sorted(key - names) for key in keys if key]
        if missing and all(missing):
            self._mistakes.add(
                path,
                f"the id must hold the whole key of {table}, or two rows would share a document: "
                f"add {', '.join(missing[-1])}",
            )
        streamed = [column for column in columns if column not in self.table.computed]
        outside = [column.name for column in streamed if not column.in_identity]
        # A table without any identity is refused as a whole, with what mends it, by the source.
        if outside and any(column.in_identity for column in self.table.columns):
            self._mistakes.add(
                path,
                f"{', '.join(outside)} is not sent when a row of {table} is deleted, so it can't "
                "be part of the id. Use the primary key, or run: alter table "
                f"{table} replica identity full",
            )
        for column in columns:
            if column in self.table.computed:
                self._mistakes.add(
                    path,
                    f"column {column.name} is generated, and the source does not stream it: make "
                    "the id of other columns (PostgreSQL 18 streams those that are stored)",
                )
            if column.protection is not None and not column.protection.keeps_apart:
                self._mistakes.add(
                    path,
                    f"column {column.name} is {column.protection.kind} by the `source` section, so "
                    "two rows would share a document. Hash it there instead, or make the id of "
                    "other columns",
                )
            try:
                id_encoder(column.type)
            except ConfigurationError as error:
                self._mistakes.add(path, f"column {column.name}: {error}")

    def _read_model(self) -> ReadModel:
        specs = tuple(origin.spec for origin in self._origins)
        index = self.config.index
        return ReadModel(
            name=self.name,
            fields=specs,
            fingerprint=self._fingerprint(specs),
            settings=dict(index.settings),
            mappings=dict(index.mappings),
            digests=self._digests(specs) if self.is_open else {},
        )

    def _digests(self, specs: Sequence[FieldSpec]) -> dict[str, str]:
        """Of each column: what a field of its name means."""
        return {
            spec.name: digest([type_name(spec.type), self._meaning(origin), origin.making])
            for spec, origin in zip(specs, self._origins, strict=True)
            if spec.type is not None
        }

    def _fingerprint(self, specs: Sequence[FieldSpec]) -> str:
        """Changes with all that changes documents or their index."""
        reads = {*self._id, *(self._where.columns if self._where else ())}
        reads = reads if self.is_open else self.reads
        types = {column.name: column.type for column in self.table.columns if column.name in reads}
        shown = [] if self.is_open else self._origins
        said = {
            "format": FORMAT,
            "table": self.table.qualified_name,
            "fields": {origin.name: self._meaning(origin) for origin in shown},
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
        if protected := {
            column.name: column.protection.digest
            for column in self.table.columns
            if column.protection is not None and column.name in reads
        }:  # said only where there is one: what was loaded without stays as it is
            said["protected"] = protected
        if generated := {
            column.name: column.generated.expression
            for column in (*self.table.columns, *self.table.computed)
            if column.generated is not None and reads.issuperset(column.generated.inputs)
        }:
            said["generated"] = generated
        return digest(said)

    def _meaning(self, origin: Origin) -> dict[str, object]:
        return origin.meaning(self._forms[origin.name], policy_of(self.config, origin.config))

    def _part(self, origin: Origin, relation: Relation) -> Part:
        config = origin.config
        default = (
            orjson.dumps(config.default) if config is not None and config.has_default else None
        )
        spec = origin.spec
        policy = policy_of(self.config, config)
        conversion = self._showing.conversion(spec, self._forms[origin.name], policy, self.name)
        if origin.expression is not None:
            compiled = compile_expression(origin.expression.sql, relation)
            computed = of_computed(conversion, compiled.type)
            return Part(
                origin.name, evaluate=compiled.evaluate, default=default, conversion=computed
            )
        if origin.column is not None:
            place = relation.index_of(origin.column.name)
            return Part(origin.name, place=place, default=default, conversion=conversion)
        if origin.name in self.missing:
            return Part(origin.name, constant=default or orjson.dumps(None))
        return Part(origin.name, constant=orjson.dumps(config.constant if config else None))


def _compile_id(names: Sequence[str], relation: Relation) -> Callable[[Row], bytes]:
    places = [relation.index_of(name) for name in names]
    encoders = [id_encoder(relation.columns[place].type) for place in places]
    if len(places) == 1:
        place, encode = places[0], encoders[0]
        if relation.columns[place].type.base.name in _SHORT:
            return lambda row: encode(row[place])  # type: ignore[arg-type]  # never UNCHANGED
        return lambda row: join_id([encode(row[place])])  # type: ignore[arg-type]  # never UNCHANGED
    pairs = list(zip(places, encoders, strict=True))
    return lambda row: join_id([encode(row[place]) for place, encode in pairs])  # type: ignore[arg-type]  # never UNCHANGED
