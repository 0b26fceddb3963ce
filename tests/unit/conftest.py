"""Readers, and retries without waiting, for tests whose fakes fail on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import stamina

from tests.generators.pipeline_reader import readers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.generators.pipeline_reader import Reader


@pytest.fixture
def no_backoff() -> Iterator[None]:
    """Try again at once, and for ever."""
    with stamina.set_testing(testing=True, attempts=10_000_000):
        yield


@pytest.fixture
def make_reader(tmp_path: Path, no_backoff: None) -> Iterator[Callable[..., Reader]]:  # noqa: ARG001 - for its effect
    """Make a reader over a scripted source and a sink in memory; ended afterwards."""
    with readers(tmp_path) as reader:
        yield reader
