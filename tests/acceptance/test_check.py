"""`cdc-daemon check`: the doctor, as people and programs call it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import running

if TYPE_CHECKING:
    from tests.acceptance.conftest import Shop


def test_a_shop_that_is_well(shop: Shop) -> None:
    """A line for each check, nothing made, exit code 0; and the same while a daemon runs."""
    before = shop.made()
    well = shop.run("check")
    assert well.code == 0, well.stdout
    lines = well.stdout.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    assert {line.split()[1] for line in lines} == {"source", "mapping", "sink", "files"}
    assert any(line.startswith("ok       source   table public.hotel: ") for line in lines)
    assert f"ok       sink     read model {shop.read_model}: " in well.stdout
    assert well.message.startswith("0 problems, ")
    assert shop.made() == before == set()
    with running(shop):
        again = shop.run("check")
        assert again.code == 0, again.stdout
        assert "a daemon follows it" in again.stdout


def test_both_sides_are_ill(shop: Shop, reader: str) -> None:
    """Every problem at once, on stdout; the exit code is that of the first side that has one."""
    shop.query("create unlogged table gone (id int primary key)")
    projections = {
        **shop.projections(),
        "gone": {"from": "gone", "fields": "*"},
        "missing": {"from": "hotl", "fields": "*"},
    }
    shop.configure(
        source=shop.source(dsn=reader),
        sink=shop.sink(hosts=["http://127.0.0.1:1"]),
        projections=projections,
    )
    result = shop.run("check", "--output", "json")
    assert result.code == 3
    assert not result.json["ok"]
    problems = "\n".join(
        f"{each['part']} {each['check']}: {each['message']}"
        for each in result.json["findings"]
        if each["level"] == "problem"
    )
    for line in (
        r"source table hotl: .*did you mean public\.hotel\?",
        r"source table public\.gone: .*grant select",
        r"source table public\.gone: .*set logged",
        rf"source publication {shop.name}: .*publication\.manage to false",
        r"sink connection: .*can't be reached",
    ):
        assert re.search(line, problems)
    assert result.message.startswith("5 problems, ")


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"dsn": "postgresql://nobody@127.0.0.1:1/shop"}, 3, "problem  source   connection: "),
        ({"slot": "of_another"}, 0, "ok       source   slot of_another: there is none yet"),
    ],
)
def test_sources(shop: Shop, changes: dict[str, str], code: int, says: str) -> None:
    """A source that is away is a problem of the source; the sink is looked at all the same."""
    shop.configure(source=shop.source(**changes))
    result = shop.run("check")
    assert result.code == code
    assert says in result.stdout
    assert "ok       sink     server: OpenSearch " in result.stdout


def test_a_sink_that_is_away_is_its_own_exit_code(shop: Shop) -> None:
    """4, as `run` would end."""
    shop.configure(sink=shop.sink(hosts=["http://127.0.0.1:1"]))
    assert shop.run("check").code == 4


def test_a_folder_that_can_not_be(shop: Shop) -> None:
    """6, as `run` would end; what is above it is no folder."""
    (shop.folder / "taken").write_text("")
    shop.configure(state={"path": str(shop.folder / "taken" / "data")})
    result = shop.run("check")
    assert result.code == 6
    assert "problem  files    state.path: local files can't be kept in " in result.stdout


def test_a_mapping_that_does_not_fit_the_tables(shop: Shop) -> None:
    """Every mistake with its line, exit code 2; the tables are looked at all the same."""
    fields = {"id": None, "nam": None, "stars": {"expression": "starz + 1"}}
    shop.configure(projections=shop.projections(fields=fields))
    result = shop.run("check")
    assert result.code == 2
    wrong = [line for line in result.stdout.splitlines() if line.startswith("problem  mapping")]
    assert len(wrong) == 2
    assert any("did you mean" in line for line in wrong)
    assert "ok       source   table public.hotel" in result.stdout


def test_rules_for_columns(shop: Shop) -> None:
    """Each is looked at beside all tables: one that names a column of a second table is well."""
    shop.query("create table guest (id int primary key, phone text)")
    guests = {"from": "public.guest", "fields": "*"}
    well = [{"match": "public.guest.phone", "mask": "***"}]
    missing = {"missing": {"from": "hotl", "fields": "*"}}
    wrong = [{"match": "public.guest.phon", "mask": "***"}]
    for rules, more, code, says in (
        (well, {}, 0, "ok       source   table public.guest: "),
        (well, missing, 3, "ok       source   table public.guest: "),
        (wrong, {}, 3, "public.guest.phon"),
    ):
        shop.configure(
            source=shop.source(columns=rules),
            projections={**shop.projections(), f"{shop.pipeline}_guests": guests, **more},
        )
        result = shop.run("check")
        assert result.code == code, result.stdout
        assert says in result.stdout
        assert "problem  source   connection" not in result.stdout


def test_a_configuration_with_mistakes(shop: Shop) -> None:
    """As every command says it: on stderr, with code 2, and nothing is asked."""
    shop.configure(senders=99)
    result = shop.run("check")
    assert (result.code, result.stdout) == (2, "")
