"""What the statement that a read model means says of text, which no other test can tell."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_daemon.projection.joined.sql import documents_sql
from tests.generators.joined_store import plans

ROOMS: dict[str, Any] = {"on": {"hotel_id": "id"}, "value": "kind", "distinct": True}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("many", 'distinct on (value collate "C")'),
        ("count", 'count(distinct t2."kind" collate "C")'),
    ],
)
def test_texts_are_told_apart_by_their_bytes(kind: str, expected: str) -> None:
    """As documents do, also where a collation takes 'a' and 'A' for one."""
    (plan,) = plans(hotels={"embed": {"kinds": {kind: "public.room", **ROOMS}}})
    assert expected in documents_sql(plan)
