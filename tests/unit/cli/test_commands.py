"""The command line as people use it: output, exit codes, and commands of connectors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cdc_daemon import __version__
from cdc_daemon.cli.plan import line
from cdc_daemon.config.schema import json_schema
from cdc_daemon.planning import Step

if TYPE_CHECKING:
    from pathlib import Path

VALID = """\
name: shop
source: {type: postgres, dsn: "${DSN}"}
sink: {type: opensearch, hosts: ["http://localhost:9200"]}
projections:
  hotels: {from: public.hotel, fields: "*"}
"""


def run(
    *arguments: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `cdc-daemon` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from cdc_daemon.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "DSN": "host=localhost", "NO_COLOR": "1", **environment},
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A valid configuration under the default name."""
    path = tmp_path / "cdc-daemon.yaml"
    path.write_text(VALID)
    return path


def test_a_valid_file_is_ok(file: Path) -> None:
    """`ok` on stdout, nothing on stderr, exit code 0: by argument, environment and default."""
    for result in (
        run("validate", str(file)),
        run("validate", CDC_DAEMON_CONFIG=str(file)),
        run("validate", folder=file.parent),
    ):
        assert (result.returncode, result.stdout, result.stderr) == (0, "ok\n", "")


def test_a_step_of_a_plan_is_a_line() -> None:
    """With its subject and its reason, where it has them."""
    assert line(Step("load", "public.hotel", "for hotels")) == "load     public.hotel: for hotels"
    assert line(Step("slot", "", "there is none")) == "slot     there is none"
    assert line(Step("keep", "hotels-000001", "")) == "keep     hotels-000001"


def test_mistakes_go_to_stderr(file: Path) -> None:
    """Every mistake on a line of its own, nothing on stdout, exit code 2."""
    file.write_text(VALID.replace("from:", "form:") + "senders: 9\n")
    result = run("validate", str(file))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"{file}:5: projections.hotels.from: this key is required",
        f'{file}:5: projections.hotels.form: unknown key; did you mean "from"?',
        f"{file}:6: senders: expected a number up to 8; found 9",
    ]


def test_mistakes_as_json(file: Path) -> None:
    """`--output json` lists the same mistakes for programs, on stdout."""
    assert json.loads(run("validate", str(file), "--output", "json").stdout) == {
        "ok": True,
        "mistakes": [],
    }
    file.write_text(VALID + "senders: 9\n")
    result = run("validate", str(file), "--output", "json")
    assert result.returncode == 2
    assert json.loads(result.stdout) == {
        "ok": False,
        "mistakes": [
            {
                "file": str(file),
                "line": 6,
                "path": "senders",
                "message": "expected a number up to 8; found 9",
                "column": None,
            }
        ],
    }


def test_schema_prints_the_schema() -> None:
    """`schema` prints the JSON Schema on stdout."""
    result = run("schema")
    assert result.returncode == 0
    assert json.loads(result.stdout) == json_schema()


def test_version_and_help() -> None:
    """`--version` prints it; `-h` and `--help` list every command."""
    assert run("--version").stdout == f"cdc-daemon {__version__}\n"
    short, long = run("-h"), run("--help")
    assert short.stdout == long.stdout
    for command in ("validate", "schema", "init"):
        assert command in short.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    """Exit code 2 and a pointer to the help."""
    result = run("valdiate")
    assert result.returncode == 2
    assert "valdiate" in result.stderr


def test_a_command_that_cannot_be_imported_breaks_no_other(tmp_path: Path, file: Path) -> None:
    """Only calling it fails, by one clear message."""
    information = tmp_path / "strangers-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[cdc_daemon.commands]\nstrange = no_such_module:run\ngood = stranger:greet\n"
    )
    (tmp_path / "stranger.py").write_text(
        "def greet(name: str) -> None:\n    'Greet.'\n    print('hello', name)\n"
    )
    path = str(tmp_path)
    assert run("validate", str(file), PYTHONPATH=path).stdout == "ok\n"
    assert "strange" in run("--help", PYTHONPATH=path).stdout
    assert run("good", "you", PYTHONPATH=path).stdout == "hello you\n"

    broken = run("strange", PYTHONPATH=path)
    assert broken.returncode == 1
    assert broken.stderr == (
        "error: the command strange can't be loaded from no_such_module:run: "
        "No module named 'no_such_module'\n"
    )


def test_our_errors_are_one_message_and_their_exit_code(tmp_path: Path) -> None:
    """A command that raises one of our errors ends with its exit code, without a traceback."""
    information = tmp_path / "strangers-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[cdc_daemon.commands]\nfail = failing:fail\n")
    (tmp_path / "failing.py").write_text(
        "from cdc_daemon.errors import SinkError\n"
        "def fail() -> None:\n"
        "    raise SinkError('the index is gone')\n"
    )
    result = run("fail", PYTHONPATH=str(tmp_path))
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr == "error: the index is gone\n"
