"""`cdc-daemon status`: what the daemon that runs says of itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
import typer

from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output, Url
from cdc_daemon.cli.running import NotRunningError, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGES: Final = (
    ("received", "received"),
    ("projected", "projected"),
    ("indexed", "durable"),
    ("searchable", "searchable"),
)
"""The stages of the delay, each with the name of its position."""
UNKNOWN: Final = "-"
_OK: Final = 200
_LABEL_WIDTH: Final = 14


def status(
    file: ConfigurationFile = DEFAULT_FILE, output: Output = "text", *, url: Url = None
) -> None:
    """Show state, delay and positions of the daemon that runs.

    Exit code 1: none runs there.
    """
    answer = ask(file, url, "/api/v1/status")
    if answer.status != _OK or "pipeline" not in answer.content:
        raise NotRunningError(
            f"what answers at {answer.url} is not a cdc-daemon (HTTP {answer.status}): give its "
            "address: --url http://HOST:PORT, or CDC_DAEMON_URL"
        )
    if output == "json":
        typer.echo(orjson.dumps(answer.content, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo("\n".join(lines(answer.content, time.time())))


def lines(shown: dict[str, Any], now: float) -> Iterator[str]:
    """The status for people. What the daemon doesn't know yet is `-`."""
    yield _line("pipeline", shown["pipeline"])
    yield _line("state", shown.get("state", UNKNOWN))
    if trouble := shown.get("trouble"):
        yield _line("trouble", trouble)
    yield _line("delay", _delay(shown))
    yield ""
    yield from _stages(shown)
    yield ""
    yield _line("checkpoint", _of(shown, "position", "checkpoint"))
    if tables := shown.get("relayed_tables"):
        yield _line("relays", ", ".join(tables))
        for name, one in (shown.get("projectors") or {}).items():
            yield _line("projectors", f"{name}: {_projectors(one)}")
    else:
        yield _line("queue", _count(shown.get("queue_bytes"), "bytes"))
        yield _line("dead letters", _count(shown.get("dead_letters")))
    for name, sink in (shown.get("sinks") or {}).items():
        yield _line("sink", f"{name}: {_sink(sink)}")
    for projection, index in sorted((shown.get("indices") or {}).items()):
        read_model = (shown.get("read_models") or {}).get(projection) or {}
        yield _line("read model", f"{projection} -> {index}{_freshness(read_model)}")
    if kept := shown.get("kept"):
        yield _line("kept rows", _kept(kept))
    yield _line("version", f"{shown.get('version')}, configuration {shown.get('configuration')}")
    yield _line("running for", _age(now - float(shown.get("started_at") or now)))


def _kept(kept: dict[str, Any]) -> str:
    """What the state of joined read models holds."""
    return (
        f"{sum(kept['rows'].values()):,} of {len(kept['rows'])} tables, "
        f"{kept['pending_documents']:,} documents pending, {kept['used_bytes']:,} bytes"
    )


def _projectors(one: dict[str, Any]) -> str:
    """How far searches of a pipeline are that commits wait for, and whether they do."""
    said = f"searchable up to {one['searchable']}"
    if not one["waited_for"]:
        said += "; left out until they have caught up"
    elif not one["whole"]:
        said += "; not all read models are waited for"
    return f"{said}: {one['trouble']}" if one["trouble"] else said


def _line(label: str, value: object) -> str:
    return f"{label:{_LABEL_WIDTH}}{value}"


def _delay(shown: dict[str, Any]) -> str:
    current = _milliseconds(_of(shown, "delay_seconds", "searchable"))
    if current == UNKNOWN:
        return UNKNOWN
    return (
        f"{current}, at most {_milliseconds(shown.get('delay_max_60s_seconds'))} in the last 60 s"
    )


def _freshness(read_model: dict[str, Any]) -> str:
    """How far one read model is behind, and what of its freshness was achieved."""
    if not read_model:
        return ""
    behind = _milliseconds(read_model["delay_seconds"])
    wanted = _milliseconds(read_model["freshness_seconds"])
    achieved = _milliseconds(read_model["freshness_achieved_60s_seconds"])
    return f": {behind} behind; freshness {wanted}, at most {achieved} in the last 60 s"


def _sink(sink: dict[str, Any]) -> str:
    """How far one of several is, and whether the positions of all wait for it."""
    behind = _milliseconds(_of(sink, "delay_seconds", "searchable"))
    said = f"{behind} behind, {_count(sink['queue_bytes'], 'bytes')} waiting"
    if sink["holds_back"]:
        said += f"; holds back what is {' and '.join(sink['holds_back'])}"
    return said


def _stages(shown: dict[str, Any]) -> Iterator[str]:
    """The delay of each stage, the source time up to which it has everything, and its position."""
    yield f"{'stage':{_LABEL_WIDTH}}{'delay':>14}  {'watermark (UTC)':23}  position"
    for stage, position in STAGES:
        yield (
            f"{stage:{_LABEL_WIDTH}}{_milliseconds(_of(shown, 'delay_seconds', stage)):>14}  "
            f"{_moment(_of(shown, 'watermark', stage)):23}  {_of(shown, 'position', position)}"
        )


def _of(shown: dict[str, Any], group: str, name: str) -> Any:
    value = (shown.get(group) or {}).get(name)
    return UNKNOWN if value is None else value


def _milliseconds(seconds: Any) -> str:
    return f"{seconds * 1000:,.1f} ms" if isinstance(seconds, int | float) else UNKNOWN


def _moment(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return UNKNOWN
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _count(number: Any, unit: str = "") -> str:
    return f"{number:,} {unit}".rstrip() if isinstance(number, int) else UNKNOWN


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
