from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.generators.forked import command

if TYPE_CHECKING:
    from pathlib import Path

GUIDES = ("Dockerfile", "docs/how-to", "docs/runbooks", "helm/cdc-daemon/templates")
COMMAND = re.compile(r'(?:`cdc-daemon |"cdc-daemon", ")([a-z]+)')


@pytest.fixture(scope="module")
def guides(root: Path) -> dict[Path, str]:
    """What people read when they deploy or mend the daemon, by path."""
    places = [root / guide for guide in GUIDES]
    files = [place for place in places if place.is_file()]
    files += [path for place in places if place.is_dir() for path in place.iterdir()]
    return {path: path.read_text(encoding="utf-8") for path in files}


def test_every_command_that_a_guide_names_exists(guides: dict[Path, str]) -> None:
    """Nobody is sent to a command that the daemon doesn't have."""
    named = {verb for text in guides.values() for verb in COMMAND.findall(text)}
    assert named >= {"validate", "healthcheck", "deadletters"}
    missing = {verb for verb in named | {"run"} if command(verb, "--help").returncode}
    assert missing == set()


def test_every_link_leads_somewhere(root: Path, guides: dict[Path, str]) -> None:
    """Links between the pages, and paths of the repository in them, exist."""
    for path, text in guides.items():
        if path.suffix == ".md":
            for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
            for target in re.findall(r"`((?:deploy|helm|docs|tests|requirements)/[^`<]*)`", text):
                assert (root / target).exists(), f"{path.name}: {target}"


def test_panels_that_a_runbook_names_are_on_the_dashboard(
    root: Path, guides: dict[Path, str]
) -> None:
    """`panel *Title*` in a runbook is the title of a panel."""
    dashboard = (root / "deploy" / "grafana" / "replication-delay.json").read_text(encoding="utf-8")
    titles = set(re.findall(r'"title": "([^"]+)"', dashboard))
    text = "\n".join(guides.values())
    named = set(re.findall(r"[Pp]anels? \*([^*]+)\*", text.replace("\n", " ")))
    assert len(named) >= 4
    assert named <= titles
