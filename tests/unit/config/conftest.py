"""A valid configuration, and ways to load variations of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.config import LoadedConfiguration, MistakesError, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Load = Callable[..., LoadedConfiguration]
    Mistakes = Callable[..., list[str]]

REPOSITORY = Path(__file__).resolve().parents[3]

ENVIRONMENT = {"DATABASE_URL": "postgresql://app:hunter2@localhost/shop"}


@pytest.fixture(scope="session")
def example() -> str:
    """The annotated example of the reference page."""
    page = (REPOSITORY / "docs/reference/configuration.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="session")
def minimal() -> str:
    """The least that a configuration must say; more keys can be appended, of the top level."""
    return (
        "name: shop\n"
        "source: {type: postgres, dsn: host=localhost}\n"
        'sink: {type: opensearch, hosts: ["http://localhost:9200"]}\n'
        "projections:\n"
        "  hotels:\n"
        "    from: public.hotel\n"
        '    fields: "*"\n'
    )


@pytest.fixture(scope="session")
def load_text(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Load a text as a file."""
    path = tmp_path_factory.mktemp("configuration") / "cdc-daemon.yaml"

    def loaded(text: str, environ: Mapping[str, str] = ENVIRONMENT) -> LoadedConfiguration:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return load(path, environ)

    return loaded


@pytest.fixture(scope="session")
def mistakes(load_text: Load) -> Mistakes:
    """Load a text that is wrong, and list its mistakes without the folder of the file."""

    def listed(text: str, environ: Mapping[str, str] = ENVIRONMENT) -> list[str]:
        with pytest.raises(MistakesError) as caught:
            load_text(text, environ)
        assert str(caught.value).splitlines() == [str(each) for each in caught.value.mistakes]
        return [
            str(each).removeprefix(each.file).removeprefix(":") for each in caught.value.mistakes
        ]

    return listed
