from __future__ import annotations

from typing import TYPE_CHECKING

from kubernetes_validate import validate  # type: ignore[import-untyped]  # has no types
from ruamel.yaml import YAML

from deploy.generate import MANIFEST, manifest, plain_files

if TYPE_CHECKING:
    from pathlib import Path

WRITE = "run python deploy/generate.py"


def test_files_made_from_others_are_up_to_date(root: Path) -> None:
    """The dashboard's JSON and the chart's copies are what deploy/generate.py writes."""
    for path, text in plain_files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.relative_to(root)}: {WRITE}"


def test_the_plain_manifest_is_up_to_date(helm: str) -> None:
    """The plain manifest is the chart of today."""
    assert MANIFEST.read_text(encoding="utf-8") == manifest(helm), WRITE


def test_the_plain_manifest_is_valid() -> None:
    """Without helm at hand too: every object is valid, and tied to no namespace."""
    text = MANIFEST.read_text(encoding="utf-8")
    objects = [each for each in YAML(typ="safe").load_all(text) if each]
    assert {each["kind"] for each in objects} == {
        "ConfigMap",
        "Deployment",
        "Service",
        "ServiceAccount",
    }
    for each in objects:
        validate(each, "1.37", strict=True)
        assert "namespace" not in each["metadata"]
    assert "helm" not in text.split("---", 1)[1].replace("# Source:", "").lower()
