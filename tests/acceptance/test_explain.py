"""`cdc-daemon explain --sql`: what it prints runs in PostgreSQL, and yields the documents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.config import load
from tests.generators.forked import command
from tests.generators.json_meaning import parse

if TYPE_CHECKING:
    from tests.conftest import Database

PAGE = (Path(__file__).parents[2] / "docs/explanation/joined-read-models.md").read_text()
ROWS = """
insert into chain values (7, 'Royal', 5);
insert into hotel values (1, 'Grand', 'Riga', 7), (2, 'Alone', null, null), (3, 'Gone', null, 7);
update hotel set deleted_at = now() where id = 3;
insert into room values (1, 1, 'single', 80.50, true), (2, 1, 'suite', 300, true),
  (3, 1, 'closed', 1, false), (4, null, 'nowhere', 1, true);
insert into amenity values (1, 'sauna'), (2, 'pool');
insert into hotel_amenity values (1, 1), (1, 2), (9, 1);
insert into review values (1, 1, 5, '2026-01-01', 'fine'), (2, 1, 4, '2026-02-01', 'again');
"""
ALONE = {
    "id": 2,
    "name": "Alone",
    "label": "Alone",
    "chain": None,
    "rooms": [],
    "amenities": [],
    "reviews": 0,
    "rating": None,
    "latest": None,
}
NOWHERE = "host=127.0.0.1 port=1 dbname=none"


def block(language: str, number: int = 0) -> str:
    """A block of code of the page that explains the language."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return found[number]


@pytest.fixture
def hotels(database: Database, tmp_path: Path) -> Path:
    """The example of the page, with rows."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute(block("sql").encode())
        connection.execute(ROWS.encode())
    return configuration(tmp_path, database.dsn)


def configuration(folder: Path, dsn: str, projections: str = "") -> Path:
    """The example's configuration, with further projections."""
    file = folder / "cdc-daemon.yaml"
    file.write_text(block("yaml").replace("${DATABASE_URL}", dsn) + projections)
    return file


def explained(dsn: str, *arguments: str) -> dict[str, object]:
    """What the printed statement yields, run as `psql` does: one statement after the other."""
    result = command("explain", *arguments, "--sql")
    assert (result.returncode, result.stderr) == (0, "")
    *settings, statement = result.stdout.split(";\n", 5)
    with psycopg.connect(dsn) as connection:
        for setting in settings:
            connection.execute(setting.encode())
        query = f"select id, document::text from ({statement.rstrip()[:-1]}) d"
        return {key: parse(text) for key, text in connection.execute(query.encode())}


def test_the_example_of_the_page_yields_its_document(hotels: Path, database: Database) -> None:
    """As the page shows it; one alone by its id; a hotel without anything; none that is deleted."""
    found = explained(database.dsn, "hotels", str(hotels))
    assert found.keys() == {"1", "2"}
    assert found["1"] == parse(block("json"))
    assert found["2"] == parse(json.dumps(ALONE))
    assert explained(database.dsn, "hotels", str(hotels), "--id", "2") == {"2": found["2"]}


def test_a_flat_projection_is_explained_too(hotels: Path, database: Database) -> None:
    """With a composite key, whose parts are escaped; and in JSON for programs."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute("create table place (a text, b text, n int, primary key (a, b))")
        connection.execute(
            r"insert into place values ('x|y', 'back\', 1), (repeat('l', 600), '', 2)"
        )
    flat = '  places: {from: place, fields: [n], where: "n < 9"}\n'
    file = configuration(hotels.parent, database.dsn, flat)
    found = explained(database.dsn, "places", str(file))
    assert parse('{"n": 1}') == found[r"x\|y|back\\"]
    assert [key[:7] for key in found if found[key] == parse('{"n": 2}')] == ["sha256:"]
    said = json.loads(command("explain", "places", str(file), "--sql", "-o", "json").stdout)
    assert said["projection"] == "places"
    assert said["settings"][0] == "set timezone = 'UTC'"


def test_forms_of_values_have_their_sql(hotels: Path, database: Database) -> None:
    """Bytes as base64, points, NaN and infinities as null or by name, many fields."""
    many = ", ".join(
        f"{name} int default {at}" for at, name in enumerate(f"c{i}" for i in range(120))
    )
    with psycopg.connect(database.dsn) as connection:
        connection.execute(
            f"create table odd (id int primary key, b bytea, n numeric, f float8, r real, p point,"
            f" q point, d date, t timestamptz, w inet, k numeric, {many})"
        )
        connection.execute(
            "insert into odd values (1, '\\x00ff', 'NaN', 'Infinity', '-Infinity', '(1,2)',"
            " '(1,200)', 'infinity', '2020-01-01 00:00:00+02', '10.0.0.1', 'NaN')"
        )
    fields = (
        "id: , b: {type: binary}, n: , f: , r: , p: {type: geo_point}, q: {type: geo_point}, d: ,"
        " t: , w: {type: ip_range}, k: {type: keyword}, c119: ,"
        " x: {expression: \"'li\\n t' -- why\"}, z: {column: n, default: 0}"
    )
    wide = ", ".join(f"c{at}: " for at in range(119))
    flat = f"  odd: {{from: odd, fields: {{{fields}, {wide}}}}}\n"
    file = configuration(hotels.parent, database.dsn, flat)
    document = explained(database.dsn, "odd", str(file))["1"]
    assert isinstance(document, dict)
    assert {name: value for name, value in document.items() if name[0] != "c"} == parse(
        '{"id": 1, "b": "AP8=", "n": null, "f": null, "r": null, "p": {"lon": 1, "lat": 2},'
        ' "q": null, "d": null, "t": "2019-12-31T22:00:00+00:00", "w": "10.0.0.1/32", "k": "NaN",'
        ' "x": "li\\n t", "z": 0}'
    )
    assert document["c119"] == parse("119")


def test_columns_that_are_generated_or_missing(hotels: Path, database: Database) -> None:
    """Generated ones are the server's own, in embeds too; a missing one is its default."""
    with psycopg.connect(database.dsn) as connection:
        how = "text generated always as (upper(kind)) stored"
        connection.execute(f"alter table room add loud {how}".encode())
    flat = (
        "    missing_columns: null\n    fields: {loud: , gone: , old: {column: was, default: 7}}\n"
    )
    joined = "many: room, on: {hotel_id: id}, value: loud, where: loud <> 'CLOSED'"
    file = configuration(
        hotels.parent,
        database.dsn,
        f"  rooms:\n    from: room\n{flat}"
        f"  loud: {{from: hotel, fields: [id], embed: {{rooms: {{{joined}}}}}}}\n",
    )
    rooms = explained(database.dsn, "rooms", str(file))
    assert rooms["2"] == parse('{"loud": "SUITE", "gone": null, "old": 7}')
    found = explained(database.dsn, "loud", str(file))
    assert found["1"] == parse('{"id": 1, "rooms": ["SINGLE", "SUITE"]}')


def test_what_cannot_be_explained(hotels: Path, database: Database) -> None:
    """What isn't there, isn't asked for, is protected or mistaken; a source that is away."""
    assert "did you mean hotels?" in command("explain", "hotel", str(hotels), "--sql").stderr
    assert "--sql" in command("explain", "hotels").stderr
    rule = "columns: [{match: hotel.name, mask: x}]"
    hotels.write_text(hotels.read_text().replace("{type: postgres,", f"{{type: postgres, {rule},"))
    result = command("explain", "hotels", str(hotels), "--sql")
    assert "name of public.hotel is masked before its values leave the source" in result.stderr
    wrong = "  wrong: {from: room, fields: [nope], embed: {h: {one: hotel, on: {id: kind}}}}\n"
    file = configuration(hotels.parent, database.dsn, wrong)
    result = command("explain", "wrong", str(file), "--sql")
    assert result.returncode == 2
    assert "has no column nope" in result.stderr
    assert "can't be compared exactly" in result.stderr
    away = command("explain", "hotels", str(configuration(hotels.parent, NOWHERE)), "--sql")
    assert (away.returncode, away.stdout) == (3, "")


def test_validate_and_the_doctor_know_joined_read_models(hotels: Path) -> None:
    """What is right, and every mistake that the catalog shows."""
    assert command("validate", str(hotels)).stdout == "ok\n"
    lines = command("check", str(hotels)).stdout.splitlines()
    (mapping,) = [line for line in lines if line.split()[1] == "mapping"]
    assert " ".join(mapping.split()) == "ok mapping read models: hotels: they fit the tables"
    hotels.write_text(hotels.read_text().replace("hotel_id: id", "hotel_idd: id"))
    lines = command("check", str(hotels)).stdout.splitlines()
    mistakes = [line for line in lines if line.split()[1] == "mapping"]
    assert mistakes
    assert all("has no column hotel_idd; did you mean hotel_id?" in line for line in mistakes)


@pytest.mark.parametrize("number", [1, 2])
def test_the_other_examples_of_the_page_are_valid(tmp_path: Path, number: int) -> None:
    """The junction that holds an order, and the table that refers to itself."""
    file = tmp_path / "cdc-daemon.yaml"
    within = "".join(f"    {line}\n" for line in block("yaml", number).splitlines())
    example = block("yaml").split("projections:")[0]
    file.write_text(f"{example}projections:\n  p:\n    from: t\n    fields: [id]\n{within}")
    assert load(file, {"DATABASE_URL": NOWHERE}).configuration.projections["p"].is_joined
