"""The PostgreSQL settings: names derived from the pipeline, and connection strings to show."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cdc_daemon.ports import RetentionBounds
from connectors.postgres.config import PostgresConfig, WalConfig, default_name
from connectors.postgres.dsn import redact


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://u:hunter2@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgres://u:hunter2@h", "postgres://u:***@h"),
        ("postgresql://u:hunter2@hunter2/x@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?password=hunter2&a=b", "postgresql://h/db?password=***&a=b"),
        ("postgresql://h/db?sslpassword=hunter2", "postgresql://h/db?sslpassword=***"),
        ("host=h password=hunter2 dbname=db", "host=h password=*** dbname=db"),
        ("host=h password = 'hunter2 \\' hunter2' user=u", "host=h password = *** user=u"),
        ("password=hunter2\\ hunter2 user=u", "password=*** user=u"),
        ("host=h oauth_client_secret=hunter2", "host=h oauth_client_secret=***"),
    ],
)
def test_connection_strings_are_shown_without_passwords(dsn: str, shown: str) -> None:
    """Both forms of connection strings keep everything but the passwords."""
    assert redact(dsn) == shown
    settings = PostgresConfig.model_validate({"type": "postgres", "dsn": dsn})
    assert settings.model_dump(mode="json")["dsn"] == shown
    assert "hunter2" not in repr(settings) + settings.model_dump_json()


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,39}", fullmatch=True))
def test_slot_and_publication_are_named_after_the_pipeline(pipeline: str) -> None:
    """Any pipeline has a valid slot of the same name, dashes apart."""
    settings = PostgresConfig.model_validate({"type": "postgres", "dsn": "host=h"})
    name = default_name(pipeline)
    assert settings.slot_name(pipeline) == settings.publication_name(pipeline) == name
    given_name = {"type": "postgres", "dsn": "host=h", "slot": name, "publication": {"name": "P"}}
    settings = PostgresConfig.model_validate(given_name)
    assert (settings.slot_name("x"), settings.publication_name("x")) == (name, "P")


@pytest.mark.parametrize(
    ("written", "bounds"),
    [
        ({}, (1_000_000_000, 10_000_000_000, None)),
        ({"limit": "50GB"}, (1_000_000_000, 10_000_000_000, 50_000_000_000)),
        ({"limit": "5GB"}, (1_000_000_000, None, 5_000_000_000)),
        ({"limit": "1GB"}, (None, None, 1_000_000_000)),
        ({"warn": "20GB"}, (20_000_000_000, None, None)),
        ({"critical": "500MB"}, (None, 500_000_000, None)),
        ({"warn": "1kB", "critical": "2kB", "limit": "3kB"}, (1000, 2000, 3000)),
    ],
)
def test_a_default_step_gives_way_to_what_is_written(
    written: dict[str, Any], bounds: tuple[int | None, ...]
) -> None:
    """Nobody has to write all steps to set one of them."""
    assert WalConfig.model_validate(written).bounds() == RetentionBounds(*bounds)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"warn": "2GB", "critical": "1GB"}, "`warn` below `critical`"),
        ({"critical": "2GB", "limit": "2GB"}, "`critical` below `limit`"),
        ({"warn": "2GB", "limit": "1GB"}, "below"),
        ({"at_limit": "drop"}, "needs a `limit`"),
    ],
)
def test_steps_that_do_not_rise_are_a_mistake(written: dict[str, Any], says: str) -> None:
    """Steps rise, and nothing is dropped at a limit that isn't there."""
    with pytest.raises(ValidationError, match=says):
        WalConfig.model_validate(written)
