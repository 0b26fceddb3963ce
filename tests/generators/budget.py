"""How long a property test goes on, and from which seed."""

from __future__ import annotations

import os
import random
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT_SECONDS = 15.0


def seeded() -> tuple[int, random.Random]:
    """The seed of PROPERTY_SEED, or one of this test's own, and what it starts."""
    seed = int(os.environ.get("PROPERTY_SEED") or _own_seed())
    return seed, random.Random(seed)


def _own_seed() -> int:
    """A new one, or with PROPERTY_SEEDS_OF the same one for the same text and test.

    CI gives `.ci/worlds`: it tries the worlds that were tried before, wherever it runs.
    """
    commit = os.environ.get("PROPERTY_SEEDS_OF")
    if not commit:
        return random.SystemRandom().getrandbits(32)
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    return zlib.crc32(f"{commit} {test}".encode())


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Name the seed in a failure, so that it can be repeated."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"repeat with PROPERTY_SEED={seed}")
        raise


def budget_seconds(share: float = 1.0, proof_share: float = 0.0) -> float:
    """`share` of PROPERTY_SECONDS (15 without it).

    Of a test that is a part of a proof: `proof_share` of PROOF_SECONDS, where that is given.
    """
    proof = os.environ.get("PROOF_SECONDS")
    if proof and proof_share:
        return float(proof) * proof_share
    return float(os.environ.get("PROPERTY_SECONDS") or DEFAULT_SECONDS) * share


def deadline(share: float = 1.0, proof_share: float = 0.0) -> Callable[[], bool]:
    """Whether `budget_seconds` have passed since this call."""
    end = time.monotonic() + budget_seconds(share, proof_share)
    return lambda: time.monotonic() >= end


def rounds(share: float = 1.0, *, least: int = 1, proof_share: float = 0.0) -> Iterator[int]:
    """Count rounds until `budget_seconds` have passed, and `least`."""
    is_over = deadline(share, proof_share)
    number = 0
    while number < least or not is_over():
        yield number
        number += 1
