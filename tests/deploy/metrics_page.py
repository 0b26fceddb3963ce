"""Reads docs/reference/metrics.md, the contract between the daemon, the dashboard and the rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HEADING = re.compile(r"^### `(?P<name>\w+)`$", re.MULTILINE)
KIND = re.compile(
    r"^(?P<kind>Gauge|Counter|Histogram)(?P<unit>[^.]*)\. Labels: (?P<labels>[^.]+)\.$",
    re.MULTILINE,
)
EXAMPLE = re.compile(r"^```promql\n(?P<expression>.*?)^```$", re.MULTILINE | re.DOTALL)
HISTOGRAM_SUFFIXES = ("_bucket", "_count", "_sum")


@dataclass(frozen=True, slots=True)
class DocumentedMetric:
    """One section of the page."""

    name: str
    kind: str
    """`gauge`, `counter` or `histogram`."""
    unit: str
    """As written: `in seconds`, `always 1`; empty where things are counted."""
    labels: frozenset[str]
    meaning: str
    examples: tuple[str, ...]

    @property
    def series(self) -> dict[str, frozenset[str]]:
        """The names that a query can select, each with its labels."""
        if self.kind != "histogram":
            return {self.name: self.labels}
        plain = {self.name + suffix: self.labels for suffix in HISTOGRAM_SUFFIXES}
        return plain | {self.name + "_bucket": self.labels | {"le"}}


def metric_sections(path: Path) -> dict[str, DocumentedMetric]:
    """Every metric of the page by its name. Raises ValueError for a section that isn't whole."""
    text = path.read_text(encoding="utf-8")
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    sections = [
        _section(heading["name"], text[heading.end() : end])
        for heading, end in zip(headings, ends, strict=True)
    ]
    found = {section.name: section for section in sections}
    if len(found) != len(sections):
        raise ValueError(f"{path} documents a metric twice")
    return found


def documented_metrics(path: Path) -> set[str]:
    """The names of all metrics of the page, histograms without their suffixes."""
    return set(metric_sections(path))


def _section(name: str, text: str) -> DocumentedMetric:
    kind = KIND.search(text)
    if kind is None:
        raise ValueError(f"{name}: no line such as 'Gauge, in seconds. Labels: `pipeline`.'")
    body = re.split(r"^## ", text[kind.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    return DocumentedMetric(
        name=name,
        kind=kind["kind"].lower(),
        unit=kind["unit"].strip(", "),
        labels=frozenset(re.findall(r"`(\w+)`", kind["labels"])),
        meaning=EXAMPLE.sub("", body).strip(),
        examples=tuple(match["expression"].strip() for match in EXAMPLE.finditer(body)),
    )
