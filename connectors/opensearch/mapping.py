"""From a read model to the mapping of its index: column types to OpenSearch field types. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType
    from cdc_daemon.ports import FieldSpec, ReadModel

DATES: Final = "strict_date_optional_time"
"""A date, or a date and a time with up to nine digits of the second; years beyond 9999 and before
the year 0 (which is 1 BC) have a sign."""

LONGEST_TERM: Final = 8191
"""Characters. A term may have 32,766 bytes, a character four: longer values are kept in the
document but can't be searched, where OpenSearch would reject the document otherwise."""

KEYWORD: Final[dict[str, Any]] = {"type": "keyword", "ignore_above": LONGEST_TERM}
TEXT: Final[dict[str, Any]] = {
    "type": "text",
    "fields": {"keyword": {"type": "keyword", "ignore_above": 256}},
}
DATE: Final[dict[str, Any]] = {"type": "date", "format": DATES}
KEPT_ONLY: Final[dict[str, Any]] = {"type": "keyword", "index": False, "doc_values": False}
"""In the document, but neither searchable nor sortable."""

VECTORS: Final = frozenset({"vector", "halfvec"})
"""The types of pgvector whose JSON is an array of numbers."""
KEPT_NUMBERS: Final[dict[str, Any]] = {"type": "float", "index": False, "doc_values": False}
"""A vector of no declared length, which `knn_vector` can't be."""

BY_NAME: Final[dict[str, dict[str, Any]]] = {
    "bool": {"type": "boolean"},
    "int2": {"type": "short"},
    "int4": {"type": "integer"},
    "int8": {"type": "long"},
    "oid": {"type": "long"},
    "int2vector": {"type": "short"},
    "float4": {"type": "float"},
    "float8": {"type": "double"},
    # Searched and sorted as a double; the document keeps every digit.
    "numeric": {"type": "double"},
    "text": TEXT,
    "varchar": TEXT,
    "bpchar": TEXT,
    "citext": TEXT,
    "name": TEXT,
    "xml": TEXT,
    # Milliseconds when searched, every digit in the document. Not date_nanos: that refuses years
    # before 1970 and after 2262.
    "date": DATE,
    "timestamp": DATE,
    "timestamptz": DATE,
    "bytea": KEPT_ONLY,
    "json": {"type": "flat_object"},
    "jsonb": {"type": "flat_object"},
    "hstore": {"type": "flat_object"},
}
"""PostgreSQL's name of a type to its field; every other type is a keyword of its text."""

RESERVED_SETTINGS: Final = "index."


def index_body(model: ReadModel, *, pipeline: str) -> dict[str, Any]:
    """Settings and mappings that create an index for `model`."""
    properties = {
        **{field.name: field_mapping(field) for field in model.fields},
        **model.mappings.get("properties", {}),
    }
    knn = _has_vector(properties)
    return {
        "settings": {
            **DEFAULT_SETTINGS,
            **(VECTOR_SETTINGS if knn else {}),
            **flat_settings(model.settings),
        },
        "mappings": {
            "dynamic": "strict",
            **model.mappings,
            "_meta": {
                **model.mappings.get("_meta", {}),
                "cdc_daemon": {
                    "pipeline": pipeline,
                    "projection": model.name,
                    "fingerprint": model.fingerprint,
                },
            },
            "properties": properties,
        },
    }


def _has_vector(properties: dict[str, Any]) -> bool:
    return any(
        mapping.get("type") == "knn_vector" or _has_vector(mapping.get("properties", {}))
        for mapping in properties.values()
    )


DEFAULT_SETTINGS: Final[dict[str, Any]] = {
    # An acknowledged write must survive kill -9: the checkpoint is confirmed to the source.
    "index.translog.durability": "request",
    # The daemon refreshes by itself, as often as `freshness` asks. This is the safety net for the
    # last writes before it stops; an explicit value also keeps the index from going search-idle.
    "index.refresh_interval": "30s",
    # How long a deleted document's version is remembered against a request lost in the network.
    "index.gc_deletes": "15m",
    # A template's ingest pipeline would change documents between the source and the read model.
    "index.default_pipeline": "_none",
    "index.final_pipeline": "_none",
}

VECTOR_SETTINGS: Final[dict[str, Any]] = {"index.knn": True}
"""Without it the nearest neighbours are looked for in all documents."""


def flat_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as the configuration nests them to full dotted names, `index.` in front."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        full = name if name == "index" or name.startswith(RESERVED_SETTINGS) else f"index.{name}"
        if isinstance(value, dict):
            inner = {f"{full}.{key}": below for key, below in value.items()}
            flat.update(flat_settings(inner))
        else:
            flat[full] = value
    return flat


def field_mapping(field: FieldSpec) -> dict[str, Any]:
    """The mapping of one field: by its type, unless the configuration says otherwise."""
    if field.children:
        properties = {child.name: field_mapping(child) for child in field.children}
        return {**({"type": "nested"} if field.nested else {}), "properties": properties}
    overrides = field.overrides
    by_type = type_mapping(field.type) if field.type else example_mapping(field.example)
    if "type" in overrides:
        # Another type: the default's other parameters need not fit it.
        return {**(by_type if overrides["type"] == by_type.get("type") else {}), **overrides}
    return {**by_type, **overrides}


def type_mapping(column_type: ColumnType) -> dict[str, Any]:
    """The field type for a PostgreSQL type."""
    base = column_type.base
    if base.kind == "array" and base.element is not None:
        # Every OpenSearch field may hold several values, but for vectors.
        several = type_mapping(base.element)
        return KEPT_NUMBERS if several.get("type") == "knn_vector" else several
    if base.kind == "composite":
        attributes = {name: type_mapping(inner) for name, inner in base.attributes}
        return {"properties": attributes}
    if base.kind == "base" and base.name in VECTORS:
        length = {"type": "knn_vector", "dimension": base.modifier}
        return length if base.modifier > 0 else KEPT_NUMBERS
    if base.kind == "base":
        return BY_NAME.get(base.name, KEYWORD)
    return KEYWORD


def example_mapping(example: object) -> dict[str, Any]:
    """The field type for a constant of the configuration."""
    if isinstance(example, bool):
        return BY_NAME["bool"]
    if isinstance(example, int):
        return BY_NAME["int8"]
    if isinstance(example, float):
        return BY_NAME["float8"]
    if isinstance(example, dict):
        return BY_NAME["jsonb"]
    if isinstance(example, list) and example:
        return example_mapping(example[0])
    return KEYWORD
