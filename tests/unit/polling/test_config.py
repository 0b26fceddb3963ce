"""What the `source:` section of a polling source may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from connectors.polling.config import PollingConfig, TableConfig
from connectors.polling.schedule import Cron, Interval


def config(**keys: Any) -> PollingConfig:
    """With what is required."""
    return PollingConfig.model_validate({"type": "polling", "dsn": "host=a", **keys})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"interval": "1s", "cron": "* * * * *"}, "one of `interval` and `cron`"),
        ({"interval": 0}, "above 0"),
        ({"cron": "often"}, "cron expression"),
        ({"dsn": "shop"}, "connection string"),
        ({"tables": {"a": {"by": "comparision"}}}, "comparison"),
        ({"tables": {"a": {"by": {"colum": "b"}}}}, "colum"),
        ({"tables": {"a": {"compare": "1h"}}}, "leave it out"),
        ({"tables": {"a": {"by": "xmin", "compare": "often"}}}, "expected a duration"),
        ({"tables": {"a": {"deleted": "gone; drop table a"}}}, "expected an SQL condition"),
    ],
)
def test_mistakes_are_refused(keys: dict[str, Any], said: str) -> None:
    """Each in words that say what is expected."""
    with pytest.raises(ValidationError, match=said):
        config(**keys)


def test_what_is_not_said() -> None:
    """Once a minute, by comparison."""
    assert config().schedule == Interval(60)
    assert config(cron="0 * * * *").schedule == Cron("0 * * * *")
    assert config().of_table("public.hotel") == TableConfig()
    assert TableConfig().by == "comparison"


def test_a_table_of_the_schema_public_needs_no_schema() -> None:
    """As in mappings."""
    made = config(tables={"hotel": {"by": "xmin"}, "other.room": {"by": "xmin"}})
    tables = ("public.hotel", "other.room", "public.room")
    assert [made.of_table(name).by for name in tables] == ["xmin", "xmin", "comparison"]
