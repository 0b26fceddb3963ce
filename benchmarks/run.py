"""All benchmarks in one run, and one table of what they measured: `make bench`.

`--quick` takes some minutes, and its figures are rough. No figure is a gate: they depend on the
machine, so speed is printed beside a limit of the same run.
"""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

import backfill
import decode
import delay
import flat
import joined
import memory
import strong
import waiting
from machine import describe
from servers import servers


class Size(NamedTuple):
    """How much each benchmark does."""

    changes: int
    rounds: int
    rows: int
    seconds: float
    transaction_rows: int
    backlog_changes: int
    store_scale: float


FULL = Size(
    flat.CHANGES,
    flat.ROUNDS,
    backfill.ROWS,
    delay.SECONDS,
    memory.TRANSACTION_ROWS,
    memory.BACKLOG_CHANGES,
    joined.SCALE,
)
QUICK = Size(100_000, 1, 200_000, 15.0, 200_000, 200_000, 0.1)

Line = tuple[str, str, str]


def run(size: Size) -> list[Line]:
    """Measure everything; each benchmark has servers of its own, so none inherits another's."""
    lines: list[Line] = [step.line() for step in decode.run()]
    with servers() as both:
        print(both.versions, flush=True)
        lines += flat.run(both, size.changes, size.rounds).lines()
    with servers() as both:
        lines += backfill.run(both, size.rows, size.rounds, size.seconds).lines()
    with servers() as both:
        results, floor = delay.run(both, delay.RATES, size.seconds)
        lines.append(("delay: floor, a bulk of one with refresh", str(floor), ""))
        lines += [line for result in results for line in result.lines()]
    with servers() as both:
        seconds = min(size.seconds, waiting.SECONDS)
        lines += waiting.lines(*waiting.run(both, waiting.WAITERS, seconds))
    with servers() as both:
        lines += strong.lines(*strong.run(both, size.seconds))
    with servers() as both:
        results_of_memory = memory.run(both, size.transaction_rows, size.backlog_changes)
        lines += [result.line() for result in results_of_memory]
    with servers() as both:
        lines += joined.run(both, size.store_scale, size.seconds)
    return lines


def table(lines: list[Line]) -> str:
    """The lines as a Markdown table."""
    rows = [("What", "Measured", "Aim"), ("---", "---", "---"), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes, rough figures")
    size = QUICK if parser.parse_args().quick else FULL
    load = os.getloadavg()[0]
    print(describe())
    print(f"load average before: {load:.1f} (others' work makes every figure worse)", flush=True)
    lines = run(size)
    print(f"\n{describe()}; load average before: {load:.1f}\n\n{table(lines)}")


if __name__ == "__main__":
    main()
