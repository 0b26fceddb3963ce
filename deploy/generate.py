"""Writes the deploy files that are made from others: `python deploy/generate.py`.

    deploy/grafana/replication-delay.json     from replication_delay.py
    helm/cdc-daemon/files/                    copies of it and of the Prometheus rules
    deploy/kubernetes/cdc-daemon.yaml         the chart, rendered

tests/deploy/test_generated.py fails when one of them is not up to date.
"""  # noqa: INP001  a script

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DEPLOY: Final = ROOT / "deploy"
CHART: Final = ROOT / "helm" / "cdc-daemon"
MANIFEST: Final = DEPLOY / "kubernetes" / "cdc-daemon.yaml"
MANIFEST_HEAD: Final = """\
# The chart helm/cdc-daemon rendered with its ci/hotel-values.yaml. Put your configuration into the
# ConfigMap and make the Secret, then kubectl apply -f this file. See docs/how-to/deploy.md.
# Written by deploy/generate.py; don't edit.
"""
ONLY_FOR_HELM: Final = ("app.kubernetes.io/managed-by: ", "helm.sh/chart: ", "namespace: ")
"""Lines that a plain manifest is better without: the namespace is then the one of kubectl."""


def find_tool(name: str) -> str | None:
    """Return where tests/deploy/install_tools.sh put a tool, else any on PATH, else None."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    tools = os.environ.get("CDC_DAEMON_TOOLS") or str(cache / "cdc-daemon" / "tools")
    return shutil.which(name, path=tools) or shutil.which(name)


def plain_files() -> dict[Path, str]:
    """What is made without a tool, by path."""
    with warnings.catch_warnings():
        # The SDK would rather have schema v2, which Grafana's sidecar and version 11 don't read.
        warnings.simplefilter("ignore", DeprecationWarning)
        dashboard = runpy.run_path(str(DEPLOY / "grafana" / "replication_delay.py"))["render"]()
    rules = (DEPLOY / "prometheus" / "rules.yaml").read_text(encoding="utf-8")
    return {
        DEPLOY / "grafana" / "replication-delay.json": dashboard,
        CHART / "files" / "replication-delay.json": dashboard,
        CHART / "files" / "rules.yaml": rules,
    }


def manifest(helm: str) -> str:
    """Return the chart as plain Kubernetes objects, without what only Helm reads."""
    command = [helm, "template", "cdc-daemon", str(CHART)]
    command += ["--values", str(CHART / "ci" / "hotel-values.yaml")]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  our own chart
    kept = [line for line in rendered.splitlines() if not line.strip().startswith(ONLY_FOR_HELM)]
    return MANIFEST_HEAD + "\n".join(kept) + "\n"


def main() -> None:
    """Write all of them."""
    files = plain_files()
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    helm = find_tool("helm")
    if helm is None:
        raise SystemExit("helm isn't there: run tests/deploy/install_tools.sh")
    MANIFEST.write_text(manifest(helm), encoding="utf-8")


if __name__ == "__main__":
    main()
