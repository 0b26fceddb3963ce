"""The table of types in the reference: every type that a column can have, and its default field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from connectors.opensearch.mapping import type_mapping
from connectors.postgres.catalog_types import load_types
from tests.generators.every_type import VECTORS, available
from tests.generators.pg_scalars import EXTENSIONS

if TYPE_CHECKING:
    from tests.conftest import Database

PAGE = (Path(__file__).parents[2] / "docs/reference/types.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`[^|]*) \| [^|]+ \| ((?:`\w+`(?:, )?)+)", re.MULTILINE)
NAME = re.compile(r"`([^`]+)`")
FAMILY = "reg*"
"""Stands for all types of that beginning."""
OF_THE_CATALOG = {"aclitem", "gtsvector"}
"""No table of a user has a column of these."""
COLUMN_TYPES = """
select oid, typname from pg_type where typtype = 'b' and typarray <> 0 and typname !~ '^_'
and (typnamespace = 'pg_catalog'::regnamespace or typname = any(%s)) order by 2
"""


def documented() -> dict[str, str]:
    """Field by type, as the page has both; a row may have one field for all of its types."""
    found: dict[str, str] = {}
    for types, fields in ROW.findall(PAGE):
        names = [name.removesuffix("(n)") for name in NAME.findall(types) if name != FAMILY]
        given = NAME.findall(fields)
        found |= zip(names, given if len(given) > 1 else given * len(names), strict=True)
    return found


@pytest.mark.parametrize("database", [15, 16, 18], indirect=True)
def test_every_type_has_its_row(database: Database) -> None:
    """Those of the server, and those of extensions that are known, if it has them."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        available(connection)
        fields = {
            oid: field
            for name, field in documented().items()
            for (oid,) in connection.execute("select to_regtype(%s)::oid", [name])
        }
        known = list(EXTENSIONS.keys() & documented().keys() - VECTORS)  # their field has a length
        types: dict[int, str] = dict(connection.execute(COLUMN_TYPES, [known]).fetchall())
        resolved = load_types(connection, list(types))
    undocumented = {name for oid, name in types.items() if oid not in fields}
    assert {name for name in undocumented if not name.startswith(FAMILY[:-1])} == OF_THE_CATALOG
    wrong = {
        types[oid]: (type_mapping(resolved[oid])["type"], fields[oid])
        for oid in types.keys() & fields.keys()
        if type_mapping(resolved[oid])["type"] != fields[oid]
    }
    assert wrong == {}
    assert len(types.keys() & fields.keys()) > 50
