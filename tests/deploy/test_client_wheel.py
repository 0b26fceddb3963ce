from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from cdc_daemon import __version__

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[A-Za-z0-9._-]+")
READS = """
import cdc_daemon, importlib.util
from cdc_daemon.client import ReadModels, Session, Token, commit, strong
assert cdc_daemon.__file__ is None, "a namespace"
assert importlib.util.find_spec("psycopg") is None
assert not ReadModels("http://127.0.0.1:1").wait(Token(None, 1), timeout=0).reached
print(Session([Token("7/1", 5)]).tokens[0])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built as for a release."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT / "client", check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


def packages_of(name: str) -> set[str]:
    """A package and what it needs, as they are installed here."""
    needed = [need for need in metadata.requires(name) or [] if "extra ==" not in need]
    found = {name}
    for need in needed:
        match = NAME.match(need)
        assert match is not None
        try:
            found |= packages_of(match[0])
        except metadata.PackageNotFoundError:  # for other versions of Python
            continue
    return found


def pinned(packages: set[str]) -> str:
    """Their lines in the requirements, with hashes."""
    text = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    blocks = re.findall(r"^[^\s#].*(?:\n    --hash.*)*", text, re.MULTILINE)
    names = {package.lower().replace("_", "-") for package in packages}
    return "\n".join(block for block in blocks if block.partition("==")[0] in names) + "\n"


def test_the_wheel_holds_the_client_and_nothing_else(wheel: Path) -> None:
    """Also no `cdc_daemon/__init__.py`, which would hide the daemon's."""
    with zipfile.ZipFile(wheel) as opened:
        names = [name for name in opened.namelist() if ".dist-info/" not in name]
        (described,) = [name for name in opened.namelist() if name.endswith("/METADATA")]
        about = opened.read(described).decode()
    assert "cdc_daemon/client/py.typed" in names
    assert {name.rpartition("/")[0] for name in names} == {"cdc_daemon/client"}
    assert {Path(name).suffix for name in names} == {".py", ".typed"}
    assert f"\nName: cdc-daemon-client\nVersion: {__version__}\n" in about
    assert next(line for line in about.splitlines() if line.startswith("Requires-Dist")) == (
        "Requires-Dist: httpx<1,>=0.28"
    )
    assert "\nLicense-File: LICENSE\n" in about


def test_the_wheel_works_without_the_daemon(wheel: Path, tmp_path: Path) -> None:
    """In an environment that has httpx and nothing more."""
    venv.create(tmp_path / "alone", with_pip=False)
    python = str(tmp_path / "alone" / "bin" / "python")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(pinned(packages_of("httpx")), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    for what in (["--require-hashes", "-r", str(requirements)], [str(wheel)]):
        subprocess.run([*pip, *what], check=True, timeout=300)
    ran = subprocess.run(
        [python, "-I", "-c", READS], check=True, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout == "7/1:0/5\n"
