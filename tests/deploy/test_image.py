"""Replays the install steps of the image, and runs the daemon the way the image does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdc_daemon import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "/opt/cdc-daemon"
USER = 10001
OTHER_USER = USER if os.geteuid() == 0 else None
"""Whom to run the daemon as: only root can be somebody else."""
NO_GROUPS: list[str | int] | None = [] if os.geteuid() == 0 else None


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of the Dockerfile, its lines joined."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Installed:
    """The result of the build stage, and the only two folders that may be written to."""

    prefix: Path
    state: Path
    tmp: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the daemon as the image's user (as ourselves if we aren't root)."""
        return subprocess.run(
            [str(self.prefix / "bin" / "cdc-daemon"), *arguments],
            cwd=self.state,
            env={"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(self.tmp)},
            user=OTHER_USER,
            group=OTHER_USER,
            extra_groups=NO_GROUPS,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture(scope="module")
def dockerfile(root: Path) -> list[Instruction]:
    """The instructions of the Dockerfile."""
    text = (root / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    parts = (line.split(maxsplit=1) for line in joined.splitlines())
    return [Instruction(name, rest) for name, rest in parts]


@pytest.fixture(scope="module")
def build_stage(dockerfile: list[Instruction]) -> list[Instruction]:
    """Those of the first stage."""
    starts = [at for at, each in enumerate(dockerfile) if each.name == "FROM"]
    assert len(starts) == 2
    return dockerfile[starts[0] + 1 : starts[1]]


@pytest.fixture(scope="module")
def final_stage(dockerfile: list[Instruction]) -> list[Instruction]:
    """Those of the image itself."""
    start = max(at for at, each in enumerate(dockerfile) if each.name == "FROM")
    return dockerfile[start + 1 :]


@pytest.fixture(scope="module")
def installed(root: Path, build_stage: list[Instruction]) -> Iterator[Installed]:
    """The build stage, replayed: what it copies, and what it runs, in the order of the file."""
    place = Path(tempfile.mkdtemp(prefix="cdc-image-"))
    try:
        source, prefix = place / "src", place / "opt" / "cdc-daemon"
        source.mkdir()
        for each in build_stage:
            if each.name == "COPY":
                _copy(root, source, each.text)
            if each.name == "RUN":
                _run(each.text.replace(PREFIX, str(prefix)), source)
        yield _sealed(place, prefix)
    finally:
        _unsealed(place)
        shutil.rmtree(place)


def _copy(root: Path, source: Path, text: str) -> None:
    *origins, target = shlex.split(text)
    for origin in origins:
        path = root / origin
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(path, source / target, ignore=ignored)
        else:
            (source / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, source / target)


def _run(command: str, source: Path) -> None:
    """Run one install step with a Python that everybody may execute, and no variables of ours."""
    folder = str(Path(_python()).parent)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
    passed = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "http"))}
    result = subprocess.run(
        shlex.split(command),
        cwd=source,
        env=environment | passed,
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def _python() -> str:
    """Return our own interpreter where the image's user may run it, else the system's."""
    ours = str(Path(sys.base_prefix) / "bin" / "python3")
    code = "import ensurepip, sys; assert sys.version_info >= (3, 11)"
    for candidate in (ours, "/usr/bin/python3"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(
                [candidate, "-c", code],
                user=OTHER_USER,
                group=OTHER_USER,
                extra_groups=NO_GROUPS,
                check=True,
                capture_output=True,
            )
            return candidate
    pytest.skip("no Python 3.11 with ensurepip that another user may run: python3-venv has one")


def _sealed(place: Path, prefix: Path) -> Installed:
    """Take everybody's right to write to the installed tree; make the two writable folders."""
    place.chmod(0o755)
    installed = Installed(prefix, place / "state", place / "tmp")
    for folder in (installed.state, installed.tmp):
        folder.mkdir()
        with contextlib.suppress(PermissionError):
            os.chown(folder, USER, USER)
    subprocess.run(["chmod", "-R", "a-w", str(prefix)], check=True)
    return installed


def _unsealed(place: Path) -> None:
    subprocess.run(["chmod", "-R", "u+w", str(place)], check=True)


def _tree(prefix: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_mtime for path in prefix.rglob("*")}


def test_hadolint_finds_nothing_to_complain_about(root: Path) -> None:
    """The Dockerfile follows hadolint's rules, without an exception."""
    hadolint = Path(sys.executable).parent / "hadolint"
    result = subprocess.run(
        [str(hadolint), str(root / "Dockerfile")], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout
    assert "hadolint ignore" not in (root / "Dockerfile").read_text(encoding="utf-8")


def test_the_installed_daemon_runs_from_a_tree_it_cannot_write_to(installed: Installed) -> None:
    """As uid 10001, out of a read-only tree: it tells version and schema, and writes nothing."""
    before = _tree(installed.prefix)
    version = installed.run("--version")
    assert (version.returncode, version.stdout) == (0, f"cdc-daemon {__version__}\n"), (
        version.stderr
    )
    schema = installed.run("schema")
    assert schema.returncode == 0, schema.stderr
    assert json.loads(schema.stdout)["properties"]["projections"]
    assert _tree(installed.prefix) == before


def test_the_installed_daemon_has_our_connectors(root: Path, installed: Installed) -> None:
    """Entry points come with the wheel: the compose configuration is valid there."""
    text = (root / "deploy" / "compose" / "cdc-daemon.yaml").read_text(encoding="utf-8")
    (installed.state / "database-url").write_text("postgresql://cdc@db/hotel\n", encoding="utf-8")
    path = installed.state / "cdc-daemon.yaml"
    path.write_text(text.replace("/run/secrets", str(installed.state)), encoding="utf-8")
    result = installed.run("validate", str(path))
    assert result.returncode == 0, result.stderr


def test_the_installed_tree_holds_the_daemon_and_its_pins(root: Path, installed: Installed) -> None:
    """No pip, no build tools, no test tools: only what requirements/runtime.txt pins."""
    found = {
        metadata.name.split("-")[0].lower().replace("_", "-").replace(".", "-")
        for metadata in installed.prefix.glob("lib/python3*/site-packages/*.dist-info")
    }
    pins = (root / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    pinned = {name.lower() for name in re.findall(r"^([\w.-]+?)(?:\[\w+\])?==", pins, re.MULTILINE)}
    assert "cdc-daemon" in found
    assert found - {"cdc-daemon"} <= {name.replace("_", "-").replace(".", "-") for name in pinned}
    assert not {"pip", "hatchling", "pytest"} & found


def test_a_changed_dependency_is_refused(root: Path, tmp_path: Path) -> None:
    """The steps check hashes: a pin whose hash is wrong is not installed."""
    shutil.copytree(root / "deploy" / "image", tmp_path / "deploy" / "image")
    (tmp_path / "requirements").mkdir()
    pins = (root / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    block = re.search(r"^annotated-types==.*?(?=^\S)", pins, re.MULTILINE | re.DOTALL)
    assert block
    wrong = re.sub(r"sha256:\w+", "sha256:" + "0" * 64, block[0])
    (tmp_path / "requirements" / "runtime.txt").write_text(wrong, encoding="utf-8")
    with pytest.raises(AssertionError, match="DO NOT MATCH THE HASHES"):
        _run(f"deploy/image/install.sh dependencies {tmp_path / 'opt'}", tmp_path)


def test_everything_the_build_copies_is_in_its_context(
    root: Path, build_stage: list[Instruction]
) -> None:
    """.dockerignore lets through exactly what the Dockerfile copies."""
    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        origin
        for each in build_stage
        if each.name == "COPY"
        for origin in shlex.split(each.text)[:-1]
    }
    assert "*" in lines
    assert copied == let_through


def test_the_image_runs_as_the_daemon_and_as_nobody_else(final_stage: list[Instruction]) -> None:
    """User, entry point, command, health check and port are what chart and compose rely on."""
    said = {each.name: each.text for each in final_stage}
    assert said["USER"] == "10001:10001"
    assert json.loads(said["ENTRYPOINT"]) == ["cdc-daemon"]
    assert json.loads(said["CMD"]) == ["run"]
    assert said["HEALTHCHECK"].endswith('CMD ["cdc-daemon", "healthcheck"]')
    assert said["EXPOSE"] == "9645"
    assert said["WORKDIR"] == "/var/lib/cdc-daemon"
    assert "CDC_DAEMON_CONFIG=/etc/cdc-daemon/cdc-daemon.yaml" in said["ENV"]


def test_the_build_tool_is_the_one_that_the_project_names(root: Path) -> None:
    """The image builds the wheel with the build backend that pyproject.toml pins."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    (backend,) = project["build-system"]["requires"]
    pins = (root / "deploy" / "image" / "build.txt").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(backend)} \\$", pins, re.MULTILINE)
