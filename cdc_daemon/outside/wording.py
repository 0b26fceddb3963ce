"""How figures are written: short, of steady width, always with their unit."""

from __future__ import annotations


def milliseconds(seconds: float | None) -> str:
    """`0.4 ms`, `12 ms`, `1,234 ms`; a dash where there is nothing to tell."""
    if seconds is None:
        return "-"
    value = seconds * 1000
    return f"{value:.1f} ms" if 0 < value < 10 else f"{value:,.0f} ms"  # noqa: PLR2004 - two digits


def clock(seconds: float) -> str:
    """`0:07`, `12:00`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def rate(per_second: float) -> str:
    """`101/s`."""
    return f"{per_second:,.0f}/s"
