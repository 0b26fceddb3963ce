"""The oracle: what SQL says the documents must be, against every document that a search finds.

SQL is asked in the source itself, so nothing of the daemon is used on that side; documents are
found by searches of the alias, without a refresh of ours: what is not searchable is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.json_meaning import parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tests.generators.rest import Rest

PAGE = 5000
EVERYTHING: Mapping[str, Any] = {"match_all": {}}
SHOWN = 5
SHOWN_CHARACTERS = 300
SETTINGS = "-c timezone=UTC -c intervalstyle=iso_8601"
"""Those that documents and their ids are documented to have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How many documents were compared, and every id that differs, with why."""

    compared: int
    missing: tuple[str, ...]
    invented: tuple[str, ...]
    other: tuple[str, ...]

    @property
    def none(self) -> bool:
        """Whether all is equal."""
        return not (self.missing or self.invented or self.other)


def expected(dsn: str, query: str) -> dict[str, Any]:
    """Documents by id, of a query that gives (id text, document json)."""
    with psycopg.connect(dsn, options=SETTINGS) as connection:
        rows = connection.execute(f"select id, document::text from ({query}) as x (id, document)")
        return {key: parse(document) for key, document in rows}


def documents(
    opensearch: Rest, alias: str, within: Mapping[str, Any] = EVERYTHING
) -> dict[str, tuple[int, Any]]:
    """Version and document by id, of everything that a search of `alias` finds."""
    return {
        hit["_id"]: (int(hit["_version"].text), hit["_source"])
        for hit in _hits(opensearch, alias, within)
    }


def bare(document: dict[str, Any], fields: Collection[str] | None = None) -> dict[str, Any]:
    """Without those of `fields` (without them: all) that are null: they may be absent as well."""
    return {
        name: value
        for name, value in document.items()
        if value is not None or not (fields is None or name in fields)
    }


def compare(
    dsn: str,
    opensearch: Rest,
    queries: Mapping[str, str],
    may_lack: Collection[str] = (),
    within: Mapping[str, Any] = EVERYTHING,
) -> dict[str, Difference]:
    """Compare every row with every document of each read model.

    `may_lack`: fields that may be absent where they are null, as of columns that were added later.
    `within`: finds the documents of the rows that `queries` give, where those aren't all.
    """
    differences = {}
    for alias, query in queries.items():
        wanted = {k: bare(v, may_lack) for k, v in expected(dsn, query).items()}
        hits = documents(opensearch, alias, within).items()
        found = {k: bare(v, may_lack) for k, (_, v) in hits}
        differences[alias] = Difference(
            compared=len(wanted),
            missing=tuple(f"{key}: {wanted[key]}" for key in wanted if key not in found),
            invented=tuple(f"{key}: {found[key]}" for key in found if key not in wanted),
            other=tuple(
                f"{key}: {found[key]} instead of {document}"
                for key, document in wanted.items()
                if key in found and found[key] != document
            ),
        )
    return differences


def assert_equal(
    dsn: str,
    opensearch: Rest,
    queries: Mapping[str, str],
    may_lack: Collection[str] = (),
    within: Mapping[str, Any] = EVERYTHING,
) -> int:
    """Fail with the first differences unless all is equal; return how many were compared."""
    differences = compare(dsn, opensearch, queries, may_lack, within)
    for alias, difference in differences.items():
        assert difference.none, (
            f"{alias}: {len(difference.missing)} missing, {len(difference.invented)} invented, "
            f"{len(difference.other)} other of {difference.compared}: "
            f"missing {_first(difference.missing)}, invented {_first(difference.invented)}, "
            f"other {_first(difference.other)}"
        )
    return sum(difference.compared for difference in differences.values())


def _first(texts: tuple[str, ...]) -> list[str]:
    return [text[:SHOWN_CHARACTERS] for text in texts[:SHOWN]]


def _hits(opensearch: Rest, alias: str, within: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    query = {"size": PAGE, "sort": ["_doc"], "version": True, "query": within}
    page = parse(opensearch.text("POST", f"/{alias}/_search?scroll=1m", query))
    try:
        while page["hits"]["hits"]:
            assert page["_shards"]["failed"].text == "0", page["_shards"]
            yield from page["hits"]["hits"]
            if len(page["hits"]["hits"]) < PAGE:
                break
            body = {"scroll": "1m", "scroll_id": page["_scroll_id"]}
            page = parse(opensearch.text("POST", "/_search/scroll", body))
    finally:
        opensearch.text("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
