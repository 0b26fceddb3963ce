"""Whether a slot may stay when the publication lacked something."""

from __future__ import annotations

import pytest
from psycopg import sql

from connectors.postgres.publication import Missing

ADD = sql.SQL("alter publication pub add table only {}").format(sql.Identifier("item"))


@pytest.mark.parametrize(
    ("version", "may"),
    [
        (140017, False),
        (140018, True),
        (150012, False),
        (160009, True),
        (170004, False),
        (180000, True),
    ],
)
def test_servers_that_would_go_on_leaving_a_new_table_out(version: int, *, may: bool) -> None:
    """Of these the slot goes, as it does where the publication had left more out than tables."""
    assert Missing((ADD,)).may_keep_slot(version) == may
    assert not Missing((ADD,), only_tables=False).may_keep_slot(version)
