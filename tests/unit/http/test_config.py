"""What the `source:` section of a pipeline may say whose source is what applications post."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from cdc_daemon.errors import SourceError
from cdc_daemon.ports import TableRequest
from connectors.http import HttpSource
from connectors.http.config import HttpConfig

HOTEL = {"key": ["id"], "columns": {"id": "int", "name": "text"}}


def config(**tables: Any) -> HttpConfig:
    """With these tables."""
    return HttpConfig.model_validate({"type": "http", "tables": tables})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"columns": {"id": "int"}}, "key"),
        ({"key": ["id"]}, "columns"),
        ({"key": [], "columns": {"id": "int"}}, "at least 1 item"),
        ({"key": ["ident"], "columns": {"id": "int"}}, "`key` names ident: not a column"),
        ({"key": ["id", "id"], "columns": {"id": "int"}}, "a column twice"),
        ({"key": ["id"], "columns": {"id": "integr"}}, "did you mean integer"),
        ({"key": ["id"], "columns": {"id": "numeric(a)"}}, "expected a type such as"),
        ({"key": ["id"], "columns": {"id": "int"}, "index": []}, "index"),
    ],
)
def test_mistakes_are_refused(table: dict[str, Any], said: str) -> None:
    """Each in words that say what is expected."""
    with pytest.raises(ValidationError, match=re.escape(said)):
        config(hotel=table)


def test_there_is_a_table() -> None:
    """Nothing could be posted."""
    with pytest.raises(ValidationError, match="at least 1"):
        config()


def test_what_a_mapping_names_must_be_declared() -> None:
    """There is no catalog to ask: every table and column, with the one that is meant."""
    source = HttpSource(config(hotel=HOTEL), pipeline="shop")
    wanted = [TableRequest("public.hotels"), TableRequest("hotel", ("id", "nam"))]
    with pytest.raises(SourceError) as told:
        source.describe(wanted)
    assert "no table public.hotels; did you mean public.hotel?" in str(told.value)
    assert "no column nam in source.tables; did you mean name?" in str(told.value)
