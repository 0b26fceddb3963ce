"""Retries without waiting, for tests whose fakes fail on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import stamina

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def no_backoff() -> Iterator[None]:
    """Try again at once, and for ever."""
    with stamina.set_testing(testing=True, attempts=10_000_000):
        yield
