"""From read models to index mappings."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_daemon.events import ColumnType
from cdc_daemon.ports import FieldSpec, ReadModel
from connectors.opensearch.mapping import field_mapping, flat_settings, index_body, type_mapping

TEXT = ColumnType("text")


def test_nested_types() -> None:
    """Domains, arrays and composites map as what they are made of."""
    number = ColumnType("int4")
    domain = ColumnType("positive", "domain", element=number)
    array = ColumnType("_positive", "array", element=domain)
    pair = ColumnType("pair", "composite", attributes=(("a", array), ("b", TEXT)))
    assert type_mapping(array) == {"type": "integer"}
    assert type_mapping(pair)["properties"]["a"] == {"type": "integer"}
    assert type_mapping(ColumnType("ltree"))["type"] == "keyword"
    enum = ColumnType("date", "enum", labels=("x",))
    assert type_mapping(enum)["type"] == "keyword", "an enum named like a type is still an enum"


def test_overrides() -> None:
    """Another type replaces the default; the same type, or a parameter, is added to it."""
    other = field_mapping(FieldSpec("f", TEXT, {"type": "keyword"}))
    assert other == {"type": "keyword"}
    analyzed = field_mapping(FieldSpec("f", TEXT, {"type": "text", "analyzer": "english"}))
    assert analyzed["analyzer"] == "english"
    assert "keyword" in analyzed["fields"]
    assert field_mapping(FieldSpec("f", TEXT, {"analyzer": "x"}))["type"] == "text"


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (True, "boolean"),
        (3, "long"),
        (1.5, "double"),
        ("x", "keyword"),
        ({"a": 1}, "flat_object"),
        ([1], "long"),
        ([], "keyword"),
        (None, "keyword"),
    ],
)
def test_constants(example: object, expected: str) -> None:
    """A constant maps by its own type."""
    assert field_mapping(FieldSpec("f", None, example=example))["type"] == expected


def test_settings_in_any_notation() -> None:
    """Nested, dotted, with or without `index.`: the same setting, so that it is checked once."""
    same: list[dict[str, Any]] = [
        {"translog": {"durability": "async"}},
        {"translog.durability": "async"},
        {"index": {"translog": {"durability": "async"}}},
        {"index.translog": {"durability": "async"}},
    ]
    for settings in same:
        assert flat_settings(settings) == {"index.translog.durability": "async"}


def test_index_body() -> None:
    """The configuration wins over defaults; the mapping says whose it is."""
    model = ReadModel(
        "rooms",
        (FieldSpec("id", ColumnType("int8")),),
        "f1",
        {"refresh_interval": "5s"},
        {"dynamic": False, "_meta": {"team": "a"}, "_routing": {"required": False}},
    )
    body = index_body(model, pipeline="hotel")
    assert body["settings"]["index.refresh_interval"] == "5s"
    assert body["settings"]["index.translog.durability"] == "request"
    assert body["mappings"]["dynamic"] is False
    assert body["mappings"]["_meta"]["team"] == "a"
    assert body["mappings"]["_meta"]["cdc_daemon"] == {
        "pipeline": "hotel",
        "projection": "rooms",
        "fingerprint": "f1",
    }


def test_vectors() -> None:
    """A declared dimension makes a field for nearest neighbours, and the index look for them."""
    vector = ColumnType("vector", modifier=3)
    found = {"type": "knn_vector", "dimension": 3}
    assert field_mapping(FieldSpec("v", vector)) == found
    for other in (ColumnType("vector"), ColumnType("_vector", "array", element=vector)):
        assert field_mapping(FieldSpec("v", other))["type"] == "float"
    model = ReadModel("m", (FieldSpec("v", vector),), "f")
    assert index_body(model, pipeline="p")["settings"]["index.knn"] is True
    plain = ReadModel("m", (FieldSpec("v", vector, {"type": "float"}),), "f")
    assert "index.knn" not in index_body(plain, pipeline="p")["settings"]


def test_objects_and_nested_objects() -> None:
    """To any depth; a vector within them is found, too."""
    vector = FieldSpec("v", ColumnType("vector", modifier=3))
    inner = FieldSpec("beds", None, children=(FieldSpec("n", ColumnType("int4")), vector))
    rooms = FieldSpec(
        "rooms", None, children=(FieldSpec("id", ColumnType("int4")), inner), nested=True
    )
    body = index_body(ReadModel("hotels", (rooms,), "print"), pipeline="shop")
    assert body["mappings"]["properties"]["rooms"] == {
        "type": "nested",
        "properties": {
            "id": {"type": "integer"},
            "beds": {
                "properties": {
                    "n": {"type": "integer"},
                    "v": {"type": "knn_vector", "dimension": 3},
                }
            },
        },
    }
    assert body["settings"]["index.knn"] is True
