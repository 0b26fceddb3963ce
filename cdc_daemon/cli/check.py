"""`cdc-daemon check`: the doctor, a line for each check."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import orjson
import typer

from cdc_daemon import log
from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output
from cdc_daemon.config import load
from cdc_daemon.doctor import Diagnosis, examine
from cdc_daemon.errors import ConfigurationError, SinkError, SourceError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_CODES: Final = {
    "source": SourceError.exit_code,
    "mapping": ConfigurationError.exit_code,
    "sink": SinkError.exit_code,
    "files": StateError.exit_code,
}
"""Of the first part that has a problem: the code that `run` would end with."""


def check(file: ConfigurationFile = DEFAULT_FILE, output: Output = "text") -> None:
    """Check everything that can be known before a start; touches nothing.

    Exit codes 2, 3, 4 and 6: `run` would stop at the mapping, the source, the sink or the folder of
    local files. Warnings are 0.
    """
    loaded = load(file, os.environ)
    log.configure(loaded.configuration.log)
    found = list(_printed(examine(loaded), output))
    if output == "json":
        typer.echo(orjson.dumps(_summary(found), option=orjson.OPT_INDENT_2).decode())
    typer.echo(f"{_counted(found, 'problem')}, {_counted(found, 'warning')}", err=True)
    for each in found:
        if each.finding.level == "problem":
            raise typer.Exit(EXIT_CODES[each.part])


def _printed(diagnoses: Iterable[Diagnosis], output: str) -> Iterable[Diagnosis]:
    """Each line as it is found: some checks wait for a server."""
    for each in diagnoses:
        if output == "text":
            finding = each.finding
            typer.echo(f"{finding.level:8} {each.part:8} {finding.check}: {_line(finding.message)}")
        yield each


def _line(message: str) -> str:
    return " ".join(message.split())


def _summary(found: Sequence[Diagnosis]) -> dict[str, object]:
    return {
        "ok": not _count(found, "problem"),
        "findings": [{"part": each.part, **asdict(each.finding)} for each in found],
    }


def _counted(found: Sequence[Diagnosis], level: str) -> str:
    count = _count(found, level)
    return f"{count} {level}" if count == 1 else f"{count} {level}s"


def _count(found: Sequence[Diagnosis], level: str) -> int:
    return sum(each.finding.level == level for each in found)
