"""The fields of a document, as a configuration writes them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    Tag,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from cdc_daemon.config.names import (
    FIELD_NAME_PATTERN,
    MistypedKeysError,
    clashing_fields,
    field_name,
    listed_fields,
    mistyped_key,
)

# Marks of the three ways to write `fields`. No field can have such a name, so that they can be told
# from field names in the paths of pydantic's errors.
ALL_COLUMNS_TAG: Final = ".all"
NAMED_FIELDS_TAG: Final = ".named"
LISTED_FIELDS_TAG: Final = ".listed"


def _scalar(value: object) -> object:
    if isinstance(value, dict | list):
        raise ValueError("expected text, a number, true, false or null")  # noqa: TRY004 - pydantic
    return value


Scalar = Annotated[
    Any,
    AfterValidator(_scalar),
    WithJsonSchema({"type": ["string", "number", "boolean", "null"]}),
]


def _null_in_words(value: object) -> object:
    return None if value == "null" else value


Unrepresentable = Annotated[
    Literal["dead_letter"] | None,
    BeforeValidator(_null_in_words, json_schema_input_type=Literal["null", "dead_letter"] | None),
]
"""What becomes of a value that a field can't hold; None: it becomes null."""

MissingColumns = Annotated[
    Literal["stop"] | None,
    BeforeValidator(_null_in_words, json_schema_input_type=Literal["stop", "null"] | None),
]
"""What becomes of a field whose column isn't there; None: it is null."""


class FieldConfig(BaseModel):
    """One field of the document. What is not a key of ours goes into the index mapping."""

    model_config = ConfigDict(extra="allow", frozen=True)

    column: str | None = Field(
        default=None,
        min_length=1,
        description="The column it is taken from. Default: the column of the field's own name.",
    )
    expression: str | None = Field(
        default=None,
        min_length=1,
        description="A PostgreSQL scalar expression over the columns of the row.",
    )
    constant: JsonValue = Field(
        default=None, description="The same value in every document: text, number, list, mapping."
    )
    default: Scalar = Field(
        default=None, description="The value where the column or expression is NULL."
    )
    bytes: Literal["hex", "base64"] | None = Field(
        default=None,
        description="How a bytea is written. Default: `base64` for a field of type `binary`, `hex` "
        "for others.",
    )
    unrepresentable: Unrepresentable = Field(
        default=None,
        description="What becomes of a value that the field can't hold: `null` (and is counted) or "
        "`dead_letter`. Default: what the projection says.",
    )

    @property
    def has_constant(self) -> bool:
        """Whether a constant is given; a given `null` is a constant too."""
        return "constant" in self.model_fields_set

    @property
    def has_default(self) -> bool:
        """Whether a default is given."""
        return "default" in self.model_fields_set

    @property
    def mapping(self) -> dict[str, Any]:
        """The parameters of the index mapping, passed through: `type`, `analyzer`, `format`."""
        return dict(self.model_extra or {})

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        whole: dict[str, Any] = dump(self)
        return {key: value for key, value in whole.items() if key in self.model_fields_set}

    @model_validator(mode="after")
    def _is_consistent(self) -> FieldConfig:
        typos = {key: mistyped_key(key, FieldConfig.model_fields) for key in self.mapping}
        if suggestions := {key: meant for key, meant in typos.items() if meant}:
            raise MistypedKeysError(suggestions)
        origins = [
            name
            for name in ("column", "expression", "constant")
            if getattr(self, name) is not None or (name == "constant" and self.has_constant)
        ]
        if len(origins) > 1:
            raise ValueError(f"{' and '.join(origins)} exclude each other: keep one")
        return self


def _field(value: object) -> object:
    return {} if value is None else value


FieldName = Annotated[
    str, AfterValidator(field_name), Field(json_schema_extra={"pattern": FIELD_NAME_PATTERN})
]
NamedFields = Annotated[
    dict[
        FieldName,
        Annotated[FieldConfig, BeforeValidator(_field, json_schema_input_type=FieldConfig | None)],
    ],
    Field(min_length=1),
    AfterValidator(clashing_fields),
]


def _all_columns(value: object) -> object:
    if value != "*":
        raise ValueError('expected the fields by name, or "*" for all columns')
    return value


def _way_of_fields(value: object) -> str:
    if isinstance(value, list):
        return LISTED_FIELDS_TAG
    return ALL_COLUMNS_TAG if isinstance(value, str) else NAMED_FIELDS_TAG


Fields: TypeAlias = Annotated[
    Annotated[Literal["*"], BeforeValidator(_all_columns), Tag(ALL_COLUMNS_TAG)]
    | Annotated[NamedFields, Tag(NAMED_FIELDS_TAG)]
    | Annotated[
        list[FieldName], Field(min_length=1), AfterValidator(listed_fields), Tag(LISTED_FIELDS_TAG)
    ],
    Discriminator(_way_of_fields),
]


def by_name(
    fields: Literal["*"] | dict[str, FieldConfig] | list[str],
) -> dict[str, FieldConfig] | None:
    """The fields by name; None for `"*"`, all columns."""
    if isinstance(fields, list):
        return {name: FieldConfig() for name in fields}
    return None if fields == "*" else fields
