"""The loader: what a valid file means, and that it gives nothing away."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from cdc_daemon.errors import SettingError
from connectors.opensearch.config import OpenSearchConfig
from connectors.postgres.config import PostgresConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cdc_daemon.config import LoadedConfiguration

    Load = Callable[..., LoadedConfiguration]


def test_the_example_of_the_reference_page_is_valid(load_text: Load, example: str) -> None:
    """The annotated example loads, and each part becomes a typed value."""
    configuration = load_text(example).configuration
    hotels = configuration.projections["hotels"]
    assert configuration.name == "hotel"
    assert isinstance(configuration.source, PostgresConfig)
    assert isinstance(configuration.sink, OpenSearchConfig)
    assert configuration.sink.hosts == ["http://localhost:9200"]
    assert (hotels.table, hotels.freshness) == ("public.hotel", 0.2)
    assert hotels.index.settings == {"number_of_shards": 1}
    assert configuration.projections["bookings"].named_fields is None


def test_fields_keep_our_keys_apart_from_the_index_mapping(load_text: Load, example: str) -> None:
    """What is not our key is passed through to the index mapping."""
    fields = load_text(example).configuration.projections["hotels"].named_fields
    assert fields is not None
    assert fields["id"].mapping == {}
    assert fields["name"].mapping == {"type": "text", "analyzer": "english"}
    assert (fields["city"].column, fields["city"].mapping) == ("city_name", {"type": "keyword"})
    assert (fields["stars"].default, fields["stars"].has_default) == (0, True)
    assert (fields["kind"].constant, fields["kind"].has_constant) == ("hotel", True)
    assert not fields["label"].has_constant


def test_defaults_are_those_of_the_reference_page(load_text: Load, minimal: str) -> None:
    """A minimal file leaves everything else to the defaults."""
    configuration = load_text(minimal).configuration
    memory = configuration.memory
    assert (memory.transaction, memory.batch, memory.queue) == (64_000_000, 5_000_000, 32_000_000)
    assert configuration.senders == 2
    assert (configuration.web.host, configuration.web.port) == ("127.0.0.1", 9645)
    assert configuration.shutdown.deadline == 25.0
    assert configuration.projections["hotels"].freshness == 1.0


def test_a_null_constant_is_a_constant(load_text: Load, minimal: str) -> None:
    """`constant: null` is told from no constant at all."""
    text = minimal.replace('"*"', "{gone: {constant: null}, here: {default: 1}}")
    loaded = load_text(text)
    fields = loaded.configuration.projections["hotels"].named_fields
    assert fields is not None
    assert (fields["gone"].has_constant, fields["here"].has_constant) == (True, False)
    shown = loaded.redacted()["projections"]["hotels"]["fields"]
    assert shown == {"gone": {"constant": None}, "here": {"default": 1}}


def test_an_ipv6_address_loses_its_brackets(load_text: Load, minimal: str) -> None:
    """`[::1]:9645` is the host `::1`."""
    web = load_text(minimal + 'web: {listen: "[::1]:9645"}\n').configuration.web
    assert (web.host, web.port) == ("::1", 9645)


def test_references_without_quotes_are_read_as_yaml(load_text: Load, minimal: str) -> None:
    """A number in the environment is a number where one is expected."""
    text = minimal + "senders: ${SENDERS}\nlog:\n  level: ${LEVEL:-warning}\n"
    configuration = load_text(text, {"SENDERS": "4"}).configuration
    assert (configuration.senders, configuration.log.level) == (4, "warning")


def test_references_in_quotes_stay_text(load_text: Load, minimal: str) -> None:
    """A quoted constant is text, an unquoted one is what YAML makes of it."""
    text = minimal.replace(
        '"*"', '\n      a: {constant: "${N}"}\n      b:\n        constant: ${N}\n'
    )
    fields = load_text(text, {"N": "12"}).configuration.projections["hotels"].named_fields
    assert fields is not None
    assert (fields["a"].constant, fields["b"].constant) == ("12", 12)


def test_a_password_that_looks_like_a_number_stays_to_the_letter(
    load_text: Load, minimal: str
) -> None:
    """Where only text is allowed, a reference is never read as a number or a null."""
    text = minimal + "web:\n  api_key: ${KEY}\n"
    for key in ("007", "1e5", "null", "true", " x "):
        api_key = load_text(text, {"KEY": key}).configuration.web.api_key
        assert api_key is not None
        assert api_key.get_secret_value() == key
    assert load_text(text, {"KEY": ""}).configuration.web.api_key is None


def test_a_file_can_hold_the_secret(load_text: Load, minimal: str, tmp_path: Path) -> None:
    """`${file:...}` is the content of the file without its last newline."""
    secret = tmp_path / "dsn"
    secret.write_text("host=db password=hunter2\n")
    loaded = load_text(minimal.replace("host=localhost", f'"${{file:{secret}}}"'))
    assert isinstance(loaded.configuration.source, PostgresConfig)
    assert loaded.configuration.source.dsn.get_secret_value() == "host=db password=hunter2"


def test_nothing_shows_a_secret(load_text: Load, minimal: str) -> None:
    """Neither the redacted configuration nor any text form has a secret in it."""
    text = minimal.replace("host=localhost", '"${DATABASE_URL}"')
    text = text.replace('9200"]', '9200"], user: me, password: hunter2')
    rule = '{match: email, hash: {salt: "hunter2 and some more"}}'
    text = text.replace("type: postgres", f"type: postgres, columns: [{rule}]")
    loaded = load_text(text + "web: {api_key: hunter2}\n")
    redacted = loaded.redacted()
    assert redacted["source"]["dsn"] == "postgresql://app:***@localhost/shop"
    assert {redacted["sink"]["password"], redacted["web"]["api_key"]} == {"***"}
    assert redacted["source"]["columns"][0]["hash"]["salt"] == "***"
    assert "hunter2" not in json.dumps(redacted) + repr(loaded) + str(loaded.configuration)


def test_locate_names_the_line_of_the_nearest_key(load_text: Load, minimal: str) -> None:
    """A key that the file leaves out is located at the one above it."""
    loaded = load_text(minimal)
    assert loaded.locate("projections", "hotels", "from").endswith("cdc-daemon.yaml:6")
    assert loaded.locate("projections", "hotels", "id", 0).endswith("cdc-daemon.yaml:5")
    assert loaded.locate("nowhere").endswith("cdc-daemon.yaml:1")


def test_mistakes_that_a_connector_finds_get_their_lines(load_text: Load, minimal: str) -> None:
    """In the order of the file, each with the key that it is about."""
    rules = "source:\n  type: postgres\n  dsn: host=h\n  columns:\n"
    rules += "    - {match: a, mask: x}\n    - match: b\n      truncate: 3\n"
    loaded = load_text(re.sub("source: .*\n", rules, minimal))
    found = SettingError([(("columns", 1, "truncate"), "no"), (("columns", 0, "match"), "none")])
    assert [
        line.partition(":")[2] for line in str(loaded.located("source", found)).split("\n")
    ] == [
        "6: source.columns[0].match: none",
        "8: source.columns[1].truncate: no",
    ]


def test_the_fingerprint_follows_the_content(load_text: Load, minimal: str) -> None:
    """Comments and order change nothing, a value does."""
    one = load_text(minimal).fingerprint
    assert load_text("# a comment\n" + minimal + "senders: 2\n").fingerprint == one
    assert load_text(minimal + "senders: 3\n").fingerprint != one
