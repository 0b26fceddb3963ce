"""People in front of a web application: each has a real Chromium's window, without JavaScript."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = {"ms": 0.001, "s": 1.0}
PROGRAM = "chromium"
ANSWER_SECONDS = 60.0
"""A page comes within milliseconds; on a machine that does other things as well it takes longer."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium. Skips the test where there is none."""
    program = shutil.which(PROGRAM)
    if program is None:
        pytest.skip("Chromium is not installed (Debian 12: apt-get install chromium)")
    # Its sandbox needs an account that isn't root, and /dev/shm is small in containers.
    options = ["--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser, who has signed in, or not yet."""

    def __init__(self, browser: Browser, node: str, folder: Path) -> None:
        context = browser.new_context(java_script_enabled=False)
        context.set_default_timeout(ANSWER_SECONDS * 1000)
        self._folder = folder
        self.page: Page = context.new_page()
        self.page.goto(node)

    def sign_in(self, name: str) -> None:
        """Say who it is."""
        self.page.get_by_role("banner").get_by_role("textbox").fill(name)
        self.press("Sign in")

    def press(self, button: str) -> None:
        """Press a button, and see the page that follows."""
        self.page.get_by_role("button", name=button, exact=True).click()

    def go(self, link: str) -> None:
        """Follow a link, and see the page that follows."""
        self.page.get_by_role("link", name=link, exact=True).first.click()

    def post(self, text: str) -> None:
        """Write a post of the social network."""
        self.page.get_by_label("What is new?").fill(text)
        self.press("Post")

    @property
    def shown(self) -> str:
        """The main part of the page as text."""
        return self.page.get_by_role("main").inner_text()

    @property
    def heading(self) -> str:
        """The title on the page."""
        return self.page.get_by_role("heading", level=1).inner_text()

    def receipt(self, what: str) -> dict[str, str]:
        """What the page says of how something was read: badge, policy and staleness."""
        receipt = self.page.get_by_role("region", name=what, exact=True)
        return {
            name: receipt.locator(f".{name}").inner_text()
            for name in ("badge", "policy", "staleness")
            if receipt.locator(f".{name}").count()
        }

    def staleness(self, what: str) -> float:
        """By how many seconds the page says that it may be stale."""
        shown = self.receipt(what)["staleness"]
        number, unit = shown.split()
        return float(number) * SECONDS[unit]

    def sees(self, text: str) -> None:
        """Reload until the page shows `text`."""
        until(lambda: self.page.reload() and text in self.shown, ANSWER_SECONDS, text)

    def photograph(self, name: str) -> None:
        """Keep a picture of the page in the test's folder, for who looks at it."""
        self.page.screenshot(path=self._folder / f"{name}.png", full_page=True)
