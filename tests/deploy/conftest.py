"""The tools and files that the tests of the deploy files share."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from ruamel.yaml import YAML

from deploy.generate import CHART, ROOT, find_tool

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = "run tests/deploy/install_tools.sh"


class RenderChart(Protocol):
    """Renders the chart."""

    def __call__(self, *arguments: str, values: str = "hotel") -> list[dict[str, Any]]:
        """Return all objects, from `ci/VALUES-values.yaml` and further arguments of helm."""


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def helm() -> str:
    """The path of helm."""
    return _tool("helm")


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of promtool."""
    return _tool("promtool")


@pytest.fixture(scope="session")
def render(helm: str) -> RenderChart:
    """Render the chart as release `test`. Raises CalledProcessError when helm refuses."""

    def run(*arguments: str, values: str = "hotel") -> list[dict[str, Any]]:
        command = [helm, "template", "test", str(CHART)]
        command += ["--values", str(CHART / "ci" / f"{values}-values.yaml"), *arguments]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [document for document in YAML(typ="safe").load_all(text) if document]

    return run


def _tool(name: str) -> str:
    path = find_tool(name)
    if path is None:
        pytest.skip(f"{name} isn't there: {INSTALL}")
    return path
