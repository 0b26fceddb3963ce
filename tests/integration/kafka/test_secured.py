"""Topics of a Kafka that speaks TLS and knows users: read, or refused and said what mends it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.embedded.kafka_users import KafkaTls
from tests.generators.certificates import certificates as made
from tests.generators.forked import command
from tests.generators.kafka_rules import Secured
from tests.integration.kafka.conftest import shop_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded
    from tests.conftest import StartKafka
    from tests.integration.kafka.conftest import Shop

SECONDS = 60.0
USER = "cdc_topics"
GROUP = "cdc-daemon.hotels"
PAGE = (Path(__file__).parents[3] / "docs/how-to/least-privileges.md").read_text(encoding="utf-8")
RULES = [
    line.replace("\\\n", " ")
    for line in re.findall(r"^kafka-acls (?:.*\\\n)?.*", PAGE, re.MULTILINE)
    if f"User:{USER} " in line
]
"""Commands of the page, for who reads topics."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The certificate of the broker, that of its authority, and another one that signed nothing."""
    with made("server", "stranger") as folder:
        yield folder


@pytest.fixture
def secured(private_kafka: StartKafka, folder: Path) -> Secured:
    """A user may nothing yet."""
    tls = KafkaTls(folder / "server.both", folder / "authority.pem")
    return Secured(private_kafka(users=(USER,), tls=tls), folder)


@pytest.fixture
def shop(secured: Secured, opensearch: embedded.OpenSearchServer, tmp_path: Path) -> Iterator[Shop]:
    """Topics `shop.hotel` and `shop.room` there, and a daemon that isn't started."""
    section = {**secured.section(USER), "group": GROUP}
    with shop_on(secured.server, opensearch, tmp_path, name="shop", **section) as shop:
        yield shop


def test_topics_are_read_by_tls_with_a_password(secured: Secured, shop: Shop) -> None:
    """The rules of the page are enough, for `check` as well, and to give the place up."""
    secured.run(RULES)
    assert checked(shop) == (0, [])
    shop.daemon.start()
    shop.hotels({1: "Ritz"})
    shop.until_shown({"1": "Ritz"})
    assert shop.daemon.terminate() == 0
    shop.hotels({2: "Astoria"})
    shop.daemon.start()
    shop.until_shown({"1": "Ritz", "2": "Astoria"})
    assert "topics_read_again" not in shop.log()
    assert shop.daemon.terminate() == 0


def test_a_broker_that_nobody_trusts_is_refused(secured: Secured, shop: Shop) -> None:
    """Its certificate is another authority's: it is said where to look."""
    stranger = str(secured.certificates / "stranger.pem")
    assert_refused(shop, r"certificate verify failed.* Check `tls`: `ca`", tls={"ca": stranger})


def test_a_wrong_password_is_refused(secured: Secured, shop: Shop) -> None:
    """It is said that it is one."""
    sasl = {**secured.section(USER)["sasl"], "password": "wrong"}
    assert_refused(shop, r"Authentication failed.* Check `sasl`: the user, its password", sasl=sasl)


def assert_refused(shop: Shop, why: str, **changed: Any) -> None:
    """`check` says so, and a start ends with it: nothing is tried again."""
    source = shop.configuration()["source"]
    shop.change(source={**source, **changed})
    code, problems = checked(shop)
    assert code == 3
    assert re.search(why, "\n".join(problems)), problems
    shop.daemon.start()
    assert shop.daemon.wait(SECONDS) == 3
    assert re.search(why, shop.daemon.tail()), shop.daemon.tail()


def test_a_group_that_we_may_not_read_is_found_beforehand(secured: Secured, shop: Shop) -> None:
    """`check` says which command gives the right, and with it there is no problem any more."""
    secured.run(line for line in RULES if "--group" not in line)
    lacking = one_problem(shop)
    secured.run([lacking.replace("Read", "Describe")])  # it may be looked at, that is all
    assert one_problem(shop) == lacking
    shop.daemon.start()
    assert shop.daemon.wait(SECONDS) == 3
    assert "--operation Read --group" in shop.daemon.tail()
    secured.run([lacking])
    assert checked(shop) == (0, [])
    shop.daemon.start()
    shop.hotels({1: "Ritz"})
    shop.until_shown({"1": "Ritz"})


@pytest.mark.parametrize("taken", ["--topic", "--group"])
def test_rights_that_are_taken_end_it_and_nothing_is_lost(
    secured: Secured, shop: Shop, taken: str
) -> None:
    """While it reads: it says which command gives them back, and goes on where it was."""
    secured.run(RULES)
    shop.daemon.start()
    shop.hotels({1: "Ritz"})
    shop.until_shown({"1": "Ritz"})
    some = [line for line in RULES if taken in line]
    secured.take_back(some)
    shop.hotels({2: "Astoria"})
    assert shop.daemon.wait(SECONDS) == 3
    said = shop.daemon.tail()
    assert re.search(rf"kafka-acls --add .*--operation Read .*{taken}", said), said
    secured.run(some)
    shop.daemon.start()
    shop.until_shown({"1": "Ritz", "2": "Astoria"})


def one_problem(shop: Shop) -> str:
    """The command that `check` has for the only one, which is about the group."""
    code, [problem] = checked(shop)
    assert code == 3
    assert f"group {GROUP}" in problem
    return problem[problem.index("kafka-acls") :]


def checked(shop: Shop) -> tuple[int, list[str]]:
    """The exit code of `check`, and the problems that it tells."""
    done = command("check", str(shop.daemon.file))
    print(done.stdout)  # noqa: T201 - pytest shows it with a test that failed
    return done.returncode, [line for line in done.stdout.splitlines() if "problem" in line]
