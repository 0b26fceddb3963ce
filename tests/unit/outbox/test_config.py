"""What the `source:` section of an outbox may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from connectors.outbox.config import OutboxConfig


def config(**keys: Any) -> OutboxConfig:
    """With what is required."""
    return OutboxConfig.model_validate({"type": "outbox", "dsn": "host=a", **keys})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"dsn": "shop"}, "connection string"),
        ({"schema": 'the "outbox"'}, "without quotes"),
        ({"schema": "x" * 41}, "at most 40 bytes"),
        ({"schema": ""}, "schema"),
        ({"poll_interval": 0}, "greater than 0"),
        ({"poll_interval": "often"}, "expected a duration"),
        ({"notify": "yes"}, "notify"),
        ({"kept": {"warn": "2GB", "critical": "1GB"}}, "`warn` below `critical`"),
        ({"written_by_applications": "hotel"}, "written_by_applications"),
        ({"slot": "cdc"}, "slot"),
    ],
)
def test_mistakes_are_refused(keys: dict[str, Any], said: str) -> None:
    """Each in words that say what is expected."""
    with pytest.raises(ValidationError, match=said):
        config(**keys)


def test_a_table_of_the_schema_public_needs_no_schema() -> None:
    """As in mappings."""
    made = config(written_by_applications=["hotel", "other.room"])
    tables = ("public.hotel", "other.room", "public.room", "other.hotel")
    assert [made.is_left_to_applications(name) for name in tables] == [True, True, False, False]
