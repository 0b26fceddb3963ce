"""The `consistency.strong` section: what it keeps, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.config import LoadedConfiguration

    Load = Callable[..., LoadedConfiguration]
    Mistakes = Callable[..., list[str]]


def test_rows_are_kept_where_commits_wait(load_text: Load, minimal: str) -> None:
    """Of each read model, excluded or not; without the section only where they are needed."""
    without = load_text(minimal).configuration
    assert without.consistency.strong is None
    assert not without.projections["hotels"].is_joined
    configuration = load_text(
        minimal + "consistency: {strong: {exclude: [hotels]}}\n"
    ).configuration
    strong = configuration.consistency.strong
    assert strong is not None
    assert (strong.when_away, strong.release_after) == ("strict", 15.0)
    assert strong.silence_seconds < strong.release_after
    assert configuration.projections["hotels"].is_joined


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{exclude: [hotel]}", 'names "hotel", which is no projection; did you mean "hotels"?'),
        ("{release_after: 1s}", "expected"),
        ("{when_away: relax}", "strict"),
    ],
)
def test_mistakes_are_told(mistakes: Mistakes, minimal: str, section: str, said: str) -> None:
    """Unknown projections, too short a time, an unknown policy."""
    (mistake,) = mistakes(f"{minimal}consistency: {{strong: {section}}}\n")
    assert said in mistake


def test_a_policy_that_relies_on_waiting_commits_needs_them(
    mistakes: Mistakes, minimal: str
) -> None:
    """Otherwise reads would count as strong, and nobody would have waited; said with its line."""
    policies = "policies: {mine: {strategy: causal}, rooms: {strategy: strong}}"
    (mistake,) = mistakes(f"{minimal}consistency:\n  {policies}\n")
    assert 'consistency: policy "rooms" has `strategy: strong`' in mistake
    assert mistake.partition(": ")[0].rpartition(":")[2].isdecimal()
    assert "add `strong: {}`" in mistake


def test_a_policy_may_rely_on_commits_that_wait(load_text: Load, minimal: str) -> None:
    """Where the section is there."""
    policies = "policies: {rooms: {strategy: strong}}"
    loaded = load_text(f"{minimal}consistency: {{strong: {{}}, {policies}}}\n")
    assert loaded.configuration.consistency.policies["rooms"].strategy == "strong"


def test_columns_may_not_be_missing_where_rows_are_kept(mistakes: Mistakes, minimal: str) -> None:
    """As with every read model whose rows are kept."""
    text = f"{minimal}    missing_columns: null\nconsistency: {{strong: {{}}}}\n"
    (mistake,) = mistakes(text)
    assert "missing_columns: null" in mistake


RELAY = """
name: store
source: {type: postgres, dsn: "host=db"}
relay: {tables: [public.hotel]}
sink: {type: kafka, bootstrap_servers: "kafka:9092"}
"""


def test_commits_may_wait_for_a_relay(load_text: Load) -> None:
    """With the same section; there is nothing to keep."""
    loaded = load_text(f"{RELAY}consistency: {{strong: {{when_away: degrade}}}}\n")
    strong = loaded.configuration.consistency.strong
    assert strong is not None
    assert strong.terms.degrades


def test_a_relay_has_no_projections_to_exclude(mistakes: Mistakes) -> None:
    """It is said, as what names a projection that isn't there."""
    (mistake,) = mistakes(f"{RELAY}consistency: {{strong: {{exclude: [hotels]}}}}\n")
    assert "`relay` has none" in mistake


@pytest.mark.parametrize(
    ("log", "projectors", "said"),
    [
        (", log: app", "[hotels, hotels.0123456789ab]", ""),
        ("", "[hotels]", "name it, `sink.log`"),
        (", log: app", "[hotels.x]", "projectors"),
    ],
)
def test_a_relay_names_whose_searches_are_waited_for(
    load_text: Load, mistakes: Mistakes, log: str, projectors: str, said: str
) -> None:
    """Those that read its log, by their pipeline, and by their sink where need be."""
    text = RELAY.replace('kafka:9092"', f'kafka:9092"{log}')
    text += f"consistency: {{strong: {{projectors: {projectors}}}}}\n"
    if not said:
        strong = load_text(text).configuration.consistency.strong
        assert strong is not None
        assert strong.terms.projectors == ("hotels", "hotels.0123456789ab")
        return
    (mistake,) = mistakes(text)
    assert said in mistake


def test_only_a_relay_names_projectors(mistakes: Mistakes, minimal: str) -> None:
    """Commits wait for a daemon itself."""
    (mistake,) = mistakes(f"{minimal}consistency: {{strong: {{projectors: [hotels]}}}}\n")
    assert "this is none" in mistake


def test_a_reader_of_a_log_names_its_relay(load_text: Load, mistakes: Mistakes) -> None:
    """By that name it knows whether commits wait; then its rows are kept."""
    source = "{type: relay, dsn: host=db, bootstrap_servers: 'kafka:9092', log: app%s}"
    text = (
        f"name: hotels\nsource: {source}\n"
        "sink: {type: opensearch, hosts: ['http://localhost:9200']}\n"
        "projections: {hotels: {from: public.hotel, fields: [id]}}\n"
        "consistency: {strong: {}}\n"
    )
    (mistake,) = mistakes(text % "")
    assert "name its relay: source.relay" in mistake
    assert load_text(text % ", relay: store").configuration.projections["hotels"].is_joined
