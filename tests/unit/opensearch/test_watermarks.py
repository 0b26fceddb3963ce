"""Watermarks of disks, in every way that OpenSearch lets them be written."""

from __future__ import annotations

import pytest

from connectors.opensearch.doctor import least_free


@pytest.mark.parametrize(
    ("written", "free"),
    [
        *(("85%", 150), ("0.85", 150), (".85", 150), ("1.0", 0), ("100%", 0), ("90.5%", 95)),
        *(("500b", 500), ("2kb", 2048), ("1.5kb", 1536), ("1gb", 2**30), ("1tb", 2**40)),
        *(("1pb", 2**50), ("nonsense", 0)),
    ],
)
def test_what_must_be_free(written: str, free: float) -> None:
    """Percentages and ratios are of what is used, sizes of what is free; of 1000 bytes."""
    assert least_free(written, 1000) == pytest.approx(free)
