"""Writers at full speed, or at a steady rate, by PostgreSQL's own pgbench: no Python in it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg.conninfo import conninfo_to_dict

from cdc_daemon.compare.rounds import CLIENTS, Written
from cdc_daemon.embedded.postgres_binaries import binaries
from cdc_daemon.embedded.progress import to_stderr
from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION: Final = 18
PATIENCE_SECONDS: Final = 60.0
"""A run may take so much longer than it was told to."""
MICROSECONDS: Final = 1_000_000
_VARIABLES: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}


def write(dsn: str, statement: str, rows: int, seconds: int, rate: float | None) -> Written:
    """Run `statement`, a transaction of its own, on random rows: `:id` is from 1 to `rows`.

    `rate`: transactions a second, of all clients; None: as many as can be. Raises StopError if
    pgbench fails.
    """
    with tempfile.TemporaryDirectory(prefix="cdc-pgbench-") as folder:
        script = Path(folder) / "transaction.sql"
        script.write_text(f"\\set id random(1, {rows})\n{statement.strip()};\n")
        _run(dsn, script, seconds, rate)
        latencies = [*_latencies(Path(folder))]
    return Written(seconds, latencies)


def _run(dsn: str, script: Path, seconds: int, rate: float | None) -> None:
    command = [
        str(binaries(VERSION, to_stderr) / "pgbench"),
        *("--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", f"--time={seconds}"),
        *("--log", f"--log-prefix={script.parent / 'log'}", f"--file={script}"),
        *([] if rate is None else [f"--rate={rate}"]),
    ]
    patience = seconds + PATIENCE_SECONDS
    try:
        done = subprocess.run(  # noqa: S603 - a command of ours, not of users
            command,
            env={"PATH": os.defpath, **_environment(dsn)},
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StopError(f"pgbench has not ended within {patience:.0f} s") from error
    if done.returncode != 0:
        raise StopError(f"pgbench ended with {done.returncode}: {done.stderr.strip()}")


def _environment(dsn: str) -> dict[str, str]:
    """How to connect: a password has no place among arguments, which everybody can see."""
    parts = conninfo_to_dict(dsn)
    return {_VARIABLES[name]: str(value) for name, value in parts.items() if name in _VARIABLES}


def _latencies(folder: Path) -> Iterator[float]:
    """Of the log: client, number, microseconds, script, two of time, how late it had begun."""
    for file in folder.glob("log.*"):
        for line in file.read_text().splitlines():
            fields = line.split()
            late = int(fields[6]) if len(fields) > 6 else 0  # noqa: PLR2004 - with a rate only
            yield (int(fields[2]) - late) / MICROSECONDS
