"""What becomes of the errors of PostgreSQL."""

from __future__ import annotations

import pytest
from psycopg import errors

from cdc_daemon.errors import RetryError, SourceError
from connectors.postgres.session import mapped_errors


def test_a_table_that_is_dropped_under_a_look_at_the_catalog_is_looked_for_again() -> None:
    """PostgreSQL calls that an internal error."""
    with (
        pytest.raises(RetryError, match="look"),
        mapped_errors("look"),
    ):
        raise errors.InternalError_("could not open relation with OID 23535")


def test_other_internal_errors_stop() -> None:
    """Nobody knows whether they pass."""
    with pytest.raises(SourceError, match="cache lookup"), mapped_errors("look"):
        raise errors.InternalError_("cache lookup failed for type 1")
