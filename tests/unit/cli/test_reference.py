"""The reference pages of the command line and of the log are true and whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from cdc_daemon import errors
from cdc_daemon.cli import app
from cdc_daemon.cli.running import DEFAULT_LISTEN
from cdc_daemon.config.models import WebConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
CLI_PAGE = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
LOG_PAGE = (ROOT / "docs/reference/logs.md").read_text(encoding="utf-8")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its full name, those of groups too."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(commands(typer.main.get_command(app)))


def section(name: str) -> str:
    """The part of the page under the heading of that name."""
    found = re.search(
        rf"^##+ {re.escape(name)}\n(.*?)(?=^##+ |\Z)", CLI_PAGE, re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"no heading {name}"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    """A command has its section, with its usage, arguments and options."""
    text = section(name)
    assert f"`cdc-daemon {name}" in text
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "argument":
            shown = parameter.metavar or parameter.name.upper()
            assert shown in text.split("`\n")[0]
        elif parameter.name not in {"help", "install_completion", "show_completion"}:
            assert all(f"`{option}" in text for option in parameter.opts), parameter.opts


def test_every_command_is_in_the_table() -> None:
    """The table at the top has each command once, with a link to its section."""
    listed = re.findall(r"^\| \[`([a-z]+)`\]\(#\1\) \|", CLI_PAGE, re.MULTILINE)
    group: Any = typer.main.get_command(app)
    assert sorted(listed) == sorted(group.list_commands(None))


def test_no_command_is_documented_that_is_not_there() -> None:
    """Every usage line of the page is one of a command."""
    shown = re.findall(r"^`cdc-daemon ([a-z ]+[a-z])", CLI_PAGE, re.MULTILINE)
    assert sorted(shown) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_one_line_in_the_help(name: str) -> None:
    """The list of commands shows one short sentence for each."""
    said = (COMMANDS[name].help or "").split("\n\n")[0]
    assert said.strip()
    assert len(said) <= 100


def test_every_exit_code_is_documented() -> None:
    """The exit codes of all our errors are in the table."""
    known = {
        each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.CdcError)
    }
    listed = set(map(int, re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)))
    assert known | {0} <= listed


def logged() -> set[tuple[str, str]]:
    """The name and level of every event that the code can log."""
    found = set()
    for path in [*ROOT.glob("cdc_daemon/**/*.py"), *ROOT.glob("connectors/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) in {"log", "self._log"} and node.func.attr in LEVELS:
                (name,) = (each for each in node.args[:1] if isinstance(each, ast.Constant))
                found.add((str(name.value), node.func.attr))
    return found | {("library_says", "its own")}


def test_every_event_is_documented() -> None:
    """The page lists the events that the code can log with their levels, and no others."""
    listed = re.findall(r"^\| `([a-z_]+)` \| ([a-z ]+) \|", LOG_PAGE, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == logged()


def test_the_default_address_is_the_one_of_the_model() -> None:
    """`status` and `healthcheck` ask where a daemon listens that isn't told where."""
    assert WebConfig().listen == DEFAULT_LISTEN
