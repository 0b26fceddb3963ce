"""The PostgreSQL settings: names derived from the pipeline, and connection strings to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.config import PostgresConfig, default_name, redact


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
