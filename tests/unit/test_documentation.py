"""What the documents say exists: pages, anchors, commands, tests, reasons for dependencies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer

from cdc_daemon.cli import app
from cdc_daemon.config import load
from tests.deploy.metrics_page import HISTOGRAM_SUFFIXES, metric_sections

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PARTS_OF_A_DECISION = ("**Context.**", "**Measurement.**", "**Choice.**", "**Consequences.**")

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IN_LINE = re.compile(r"`[^`\n]+`")
COMMAND = re.compile(r"^(?:`|\$ )?cdc-daemon ([a-z]+)", re.MULTILINE)
TARGET = re.compile(r"^`?(?:[A-Z_]+=\S+ )*make ([a-z][a-z-]*)", re.MULTILINE)
REPOSITORY_PATH = re.compile(r"`((?:tests|connectors|cdc_daemon|deploy|helm|docs|\.ci)/[\w./-]*)`")
OURS = re.compile(r"(?<![\w:])cdc_[a-z0-9_]*[a-z0-9]\b(?![*_{<])")
UNITS = ("_bytes", "_ratio", "_seconds", "_total", *HISTOGRAM_SUFFIXES)
PACKAGE = re.compile(r"^[A-Za-z0-9._-]+")


def names(pages: list[Path]) -> list[str]:
    """How pages are called in the list of tests."""
    return [str(page.relative_to(ROOT)) for page in pages]


def read(page: Path) -> str:
    """A page as text."""
    return page.read_text(encoding="utf-8")


def code_in(text: str) -> str:
    """What a page shows as code, each piece on lines of its own."""
    return "\n".join([*CODE_BLOCK.findall(text), *IN_LINE.findall(CODE_BLOCK.sub("", text))])


def anchor(heading: str) -> str:
    """The anchor that a heading gets where Markdown is shown."""
    plain = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file that exists, and an anchor that it has."""
    for path, fragment in LINK.findall(CODE_BLOCK.sub("", read(page))):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if fragment:
            assert fragment in {anchor(heading) for heading in HEADING.findall(read(target))}


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_path_of_the_repository_exists(page: Path) -> None:
    """A file or folder that a page names in backquotes is there."""
    missing = {path for path in REPOSITORY_PATH.findall(read(page)) if not (ROOT / path).exists()}
    assert missing == set()


def test_every_proof_of_a_promise_exists() -> None:
    """The tests that are named as proofs, by their path or by their name alone, are there."""
    named = set(re.findall(r"`(test_\w+\.py)`", read(ROOT / "docs/explanation/correctness.md")))
    tests = {path.name for path in (ROOT / "tests" / "integration" / "pipeline").glob("test_*.py")}
    assert named
    assert named - tests == set()


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_metric_exists(page: Path) -> None:
    """What a page names as a metric is on the page of all metrics, which is that of the code.

    A metric is told from other names of ours by its first words, or by a unit at its end.
    """
    sections = metric_sections(ROOT / "docs" / "reference" / "metrics.md")
    known = {name for section in sections.values() for name in (section.name, *section.series)}
    families = tuple({"_".join(name.split("_")[:2]) + "_" for name in sections} - {"cdc_daemon_"})
    named = {name for name in OURS.findall(read(page)) if name.startswith(families)}
    named |= {name for name in OURS.findall(read(page)) if name.endswith(UNITS)}
    assert named - known == set()


def test_every_command_in_the_top_level_pages_exists() -> None:
    """Nobody is told to run a command, or a target of make, that isn't there."""
    code = "\n".join(code_in(read(page)) for page in PAGES if page.parent == ROOT)
    commands = set(COMMAND.findall(code))
    targets = set(TARGET.findall(code))
    group = typer.main.get_command(app)
    known = set(group.list_commands(None))  # type: ignore[attr-defined]  # it is a group
    made = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    assert {"run", "validate"} <= commands
    assert commands - known == set()
    assert {"demo", "test", "check"} <= targets
    assert targets - made == set()


def test_the_configuration_of_the_readme_is_valid(tmp_path: Path) -> None:
    """The first configuration that a newcomer copies has no mistake."""
    (example,) = YAML_BLOCK.findall(read(ROOT / "README.md"))
    file = tmp_path / "cdc-daemon.yaml"
    file.write_text(example, encoding="utf-8")
    loaded = load(file, {"DATABASE_URL": "postgresql://reader@localhost/hotel"})
    assert list(loaded.configuration.projections) == ["hotels"]


@pytest.mark.parametrize("page", DECISIONS, ids=names(DECISIONS))
def test_every_decision_is_whole_and_listed(page: Path) -> None:
    """A decision has its four parts, and is listed once in the index, under its own title."""
    text = read(page)
    number = page.name[:4]
    title = HEADING.findall(text)[0].removeprefix(f"{number} ")
    index = read(ROOT / "docs" / "README.md")
    assert [part for part in PARTS_OF_A_DECISION if part not in text] == []
    assert index.count(f"- [{number}](decisions/{page.name}) {title}\n") == 1


def test_decisions_are_numbered_without_a_gap() -> None:
    """No two decisions share a number, and none is missing."""
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("kind", ["how-to", "reference", "explanation"])
def test_every_page_is_in_the_index(kind: str) -> None:
    """What is written can be found."""
    index = read(ROOT / "docs" / "README.md")
    pages = sorted((ROOT / "docs" / kind).glob("*.md"))
    assert pages
    assert [page.name for page in pages if f"({kind}/{page.name})" not in index] == []


def test_every_dependency_has_its_reason() -> None:
    """Each package that we depend on, and no other, has a line in the decision about them."""
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    lines = read(ROOT / "requirements" / "dev.in").splitlines()
    wanted += [line for line in lines if line and not line.startswith("#")]
    packages = {match[0] for line in wanted if (match := PACKAGE.match(line))}
    (page,) = (ROOT / "docs" / "decisions").glob("0002-*.md")
    cells = re.findall(r"^\| (`[^|]*)\|", read(page), re.MULTILINE)
    explained = {name.split("[")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert explained == packages


def test_the_changelog_says_what_is_not_there() -> None:
    """The part that the README points to says so, under the version that is being made."""
    unreleased = read(ROOT / "CHANGELOG.md").split("\n## ")[1]
    assert unreleased.startswith("[Unreleased]")
    assert "\n### Not yet\n" in unreleased
