"""Connectors are found by entry point, ours and anyone's alike, and imported only when used."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cdc_daemon import registry
from cdc_daemon.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

CONNECTOR = """
from typing import Literal
from pydantic import BaseModel

class Config(BaseModel):
    type: Literal["{name}"]
    url: str

class Connector:
    config_model = Config
"""


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of someone else's with one good source and one that can't be imported."""
    information = tmp_path / "strangers-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[cdc_daemon.sources]\nstranger = stranger_source:Connector\nbroken = no_such_module:X\n"
    )
    (tmp_path / "stranger_source.py").write_text(CONNECTOR.replace("{name}", "stranger"))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_our_connectors_come_through_the_same_door() -> None:
    """The entry points of this package are installed."""
    assert "postgres" in registry.sources()
    assert "opensearch" in registry.sinks()
    assert "init" in registry.commands()


def test_a_connector_of_someone_else_is_found(strangers: Path) -> None:
    """A source that another package brings is as good as ours."""
    assert strangers.is_dir()
    assert {"postgres", "stranger"} <= registry.sources().keys()
    assert registry.source_factory("stranger").config_model.__name__ == "Config"


def test_an_unknown_connector_names_the_installed_ones() -> None:
    """The message lists what is installed, and what was probably meant."""
    with pytest.raises(ConfigurationError) as caught:
        registry.source_factory("postgress")
    installed = ", ".join(registry.sources())
    assert str(caught.value) == (
        f'unknown source "postgress"; installed: {installed}; did you mean "postgres"?'
    )
    with pytest.raises(
        ConfigurationError, match='unknown sink "elastic"; installed: kafka, opensearch'
    ):
        registry.sink_factory("elastic")
    with pytest.raises(ConfigurationError, match="expected the type of the sink"):
        registry.sink_factory(None)


def test_a_connector_that_cannot_be_imported_says_why(strangers: Path) -> None:
    """The cause is in the message, together with where the connector was looked for."""
    assert strangers.is_dir()
    with pytest.raises(ConfigurationError) as caught:
        registry.source_factory("broken")
    assert str(caught.value) == (
        'the source "broken" can\'t be loaded from no_such_module:X: '
        "No module named 'no_such_module'"
    )


def test_listing_imports_no_driver() -> None:
    """Looking for connectors and commands doesn't import them."""
    code = (
        "import sys; from cdc_daemon import cli, registry; "
        "registry.sources(), registry.sinks(), cli.Commands; "
        "sys.exit(bool({'psycopg', 'opensearchpy', 'connectors', 'sqlglot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
