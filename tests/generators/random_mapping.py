"""Random read models of random tables, and the SQL that says what their documents must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tests.generators.random_tables import RandomTable

CONDITIONS = (
    "n % 3 <> 0",
    "n between 100 and 700",
    "flag",
    "flag is not true and n > 50",
    "label is not null",
    "length(body) > 20",
)
EXPRESSIONS = (
    "n + 1",
    "coalesce(label, '?') || ' #' || n",
    "length(body)",
    "md5(body)",
    "case when n > 500 then 'many' else 'few' end",
    "not flag or n > 10",
)
LONGEST_ID = 512
FRESHNESS = ("20ms", "200ms", "1s")
"""A refresh costs OpenSearch more than the few documents that it makes searchable."""


class ReadModel(NamedTuple):
    """A projection of the configuration, and the SQL of what its documents must be."""

    name: str
    projection: dict[str, Any]
    table: RandomTable
    document: str
    where: str

    def query(self, key: Sequence[str]) -> str:
        """What gives id and document of each row, where the primary key has these columns."""
        identifier = document_id(self.projection.get("id", key))
        return f"select {identifier}, {self.document} from {self.table.sql} t where {self.where}"


def random_read_models(rng: Random, table: RandomTable) -> list[ReadModel]:
    """All columns, or some; with all of the rows, or those of a condition."""
    makers = rng.choice(((_all_columns,), (_some_fields,), (_all_columns, _some_fields)))
    return [make(rng, table, f"{table.schema}_{table.name}_{at}") for at, make in enumerate(makers)]


def _all_columns(rng: Random, table: RandomTable, name: str) -> ReadModel:
    document = "to_jsonb(t)"
    return _read_model(rng, table, name, "*", document)


def _some_fields(rng: Random, table: RandomTable, name: str) -> ReadModel:
    fields: dict[str, Any] = {"origin": {"constant": "pg"}}
    parts = ["'origin', 'pg'"]
    names = [column for column, _, _ in table.columns]
    for at, column in enumerate(rng.sample(names, rng.randint(1, len(names)))):
        renamed = rng.random() < 0.5
        field = f"f{at}" if renamed else column
        fields[field] = {"column": column} if renamed else None
        parts.append(f"'{field}', {column}")
    for at, expression in enumerate(rng.sample(EXPRESSIONS, rng.randint(0, 3))):
        fields[f"e{at}"] = {"expression": expression}
        parts.append(f"'e{at}', {expression}")
    return _read_model(rng, table, name, fields, f"jsonb_build_object({', '.join(parts)})")


def _read_model(
    rng: Random, table: RandomTable, name: str, fields: Any, document: str
) -> ReadModel:
    where = rng.choice((None, *CONDITIONS)) if rng.random() < 0.6 else None
    projection: dict[str, Any] = {
        "from": f"{table.schema}.{table.name}",
        "fields": fields,
        "freshness": rng.choice(FRESHNESS),
    }
    if where is not None:
        projection["where"] = where
    if table.identity == "index":
        projection["id"] = ["u"]
    return ReadModel(name, projection, table, document, where or "true")


def document_id(columns: Sequence[str]) -> str:
    """SQL for the document id, as `docs/reference/types.md` has it."""
    parts = [f"{column}::text" for column in columns]
    if len(parts) > 1:
        parts = [rf"replace(replace({part}, '\', '\\'), '|', '\|')" for part in parts]
    joined = " || '|' || ".join(parts)
    digest = f"'sha256:' || encode(sha256(convert_to({joined}, 'UTF8')), 'hex')"
    plain = f"octet_length({joined}) between 1 and {LONGEST_ID} and {joined} not like 'sha256:%'"
    return f"case when {plain} then {joined} else {digest} end"
