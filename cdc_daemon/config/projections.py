"""What a projection says: the table it comes from, what its documents hold, how they are found."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue, PrivateAttr, model_validator

from cdc_daemon.config.embeds import Embeds, distinct_names
from cdc_daemon.config.fields import FieldConfig, Fields, MissingColumns, Unrepresentable, by_name
from cdc_daemon.config.ids import DocumentId
from cdc_daemon.config.names import id_parts, table_name
from cdc_daemon.config.section import Section
from cdc_daemon.quantities import ByteSize, Duration


class IndexConfig(Section):
    """What is passed through to the index as it is."""

    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="Index settings, such as `number_of_shards`."
    )
    mappings: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Parameters of the index mapping, such as `dynamic`. Default: `dynamic: "
        "strict`.",
    )


class ProjectionConfig(Section):
    """One read model: the table it comes from, and what its documents hold."""

    table: Annotated[str, AfterValidator(table_name)] = Field(
        alias="from",
        description="The table, `schema.name`, as the catalog spells it (no SQL quotes).",
    )
    where: str | None = Field(
        default=None,
        min_length=1,
        description="A PostgreSQL condition over the columns of a row. Only rows for which it is "
        "true have a document.",
    )
    fields: Fields = Field(
        description='What a document holds, by name of the field, or a list of columns; or "*": '
        "all columns."
    )
    embed: Embeds = Field(
        default_factory=dict,
        description="What a document holds of other tables' rows, by name of the field.",
    )
    id: DocumentId | None = Field(
        default=None,
        description="The columns that make the document id; or a template with columns in braces, "
        "such as `hotel-{id}`. Default: the primary key.",
    )
    routing: str | None = Field(
        default=None,
        min_length=1,
        description="The column whose value says which shard a document is on. Default: its id.",
    )
    sink: str | None = Field(
        default=None,
        min_length=1,
        description="Which of several `sinks` its documents go to. Default: the first one.",
    )
    indexes: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="What is indexed of a read table in PostgreSQL: columns (`city, stars desc`), "
        "or all that SQL has after the table's name (`using gin (_document)`). For OpenSearch, "
        "which indexes every field, it means nothing.",
    )
    freshness: Duration = Field(
        default=1.0,
        description="How soon after a commit its documents are to be found by a search: how often "
        "the index is refreshed while it changes. `0`: after every batch.",
    )
    index: IndexConfig = Field(
        default=IndexConfig(), description="What is passed through to the index as it is."
    )
    max_document_bytes: ByteSize = Field(
        default=50_000_000, description="A larger document becomes a dead letter."
    )
    # Null: one such value is no reason to take the whole row out of the read model; it is counted.
    unrepresentable: Unrepresentable = Field(
        default=None,
        description="What becomes of values that their field can't hold (NaN, infinity, a point "
        "that is not on Earth): `null` (and is counted), or the row a `dead_letter`.",
    )

    # Stop: a column that was renamed would otherwise empty its field in silence.
    missing_columns: MissingColumns = Field(
        default="stop",
        description="What happens where a field names a column that the table doesn't have (any "
        "more): `stop`, or the field is `null`.",
    )

    @property
    def named_fields(self) -> dict[str, FieldConfig] | None:
        """The fields by name; None for `"*"`, all columns."""
        return by_name(self.fields)

    _is_kept: bool = PrivateAttr(default=False)

    def keep(self) -> None:
        """Keep its rows, whatever it shows: the source can't be asked for what it left out."""
        self._is_kept = True

    @property
    def is_joined(self) -> bool:
        """Whether its documents need more than their own row: the daemon's state."""
        return self._is_kept or bool(self.embed) or self.routing is not None

    @property
    def id_columns(self) -> list[str] | None:
        """The columns that make the document id; None for the primary key."""
        return id_parts(self.id)[1::2] if isinstance(self.id, str) else self.id

    @property
    def id_template(self) -> str | None:
        """How they make it; None where they are joined."""
        return self.id if isinstance(self.id, str) else None

    @property
    def tables(self) -> list[str]:
        """Every table that it reads, as it names them."""
        return [self.table, *(name for one in self.embed.values() for name in one.tables)]

    @model_validator(mode="after")
    def _has_distinct_id_columns(self) -> ProjectionConfig:
        if isinstance(self.id, list) and len(set(self.id)) < len(self.id):
            raise ValueError("`id` names a column twice")
        return self

    @model_validator(mode="after")
    def _has_distinct_names(self) -> ProjectionConfig:
        distinct_names(self.named_fields, self.embed)
        return self

    @model_validator(mode="after")
    def _lacks_no_joined_columns(self) -> ProjectionConfig:
        if self.is_joined and self.missing_columns is None:
            raise ValueError(
                "`missing_columns: null` can't be had with `embed` or `routing`: take it out, and "
                "name columns that are there"
            )
        return self
