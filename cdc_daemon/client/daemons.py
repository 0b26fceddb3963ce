"""Which daemons can be asked for a projection, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from cdc_daemon.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.client.policies import Policies

POLICIES_LIFETIME_SECONDS: Final = 30.0
"""A changed configuration is in force for every client after this; a question each is nothing."""
RETRY_POLICIES_SECONDS: Final = 5.0
"""While no daemon tells its policies: not at every search, for it takes time to find that out."""

SCHEMES: Final = ("http://", "https://")
Urls: TypeAlias = "str | Sequence[str]"


class Daemons:
    """Those of one pipeline: any that follows the source can answer. For any thread."""

    def __init__(self, urls: Urls, policies: Policies | None = None) -> None:
        self._urls = [url.rstrip("/") for url in ([urls] if isinstance(urls, str) else urls)]
        if not self._urls or not all(url.startswith(SCHEMES) for url in self._urls):
            raise ClientError(
                f"the address of a daemon is such as http://127.0.0.1:9645, not {urls!r}"
            )
        self._given = policies is not None
        self.policies = policies
        """None: not known yet."""
        self._ask_again_at = 0.0
        self.epoch: str | None = None
        """The history that they follow, by the last answer."""

    def in_order(self) -> list[str]:
        """Their addresses, the one to try first in front."""
        return list(self._urls)

    def failed(self, url: str) -> None:
        """It didn't answer, or is only a standby: others are tried before it from now on."""
        # A new list, since other threads go through the old one.
        self._urls = [*(other for other in self._urls if other != url), url]

    def should_ask_policies(self, now: float) -> bool:
        """Whether what is known of the policies is too old."""
        return not self._given and now >= self._ask_again_at

    def asking_policies(self, now: float) -> None:
        """Somebody asks: others go on with what is known until there is an answer."""
        if self.policies is not None:
            self._ask_again_at = now + RETRY_POLICIES_SECONDS

    def told_policies(self, policies: Policies | None, now: float) -> None:
        """What a daemon has said of them; None: none has answered, so the old ones stay."""
        if policies is not None:
            self.policies = policies
        lifetime = POLICIES_LIFETIME_SECONDS if policies else RETRY_POLICIES_SECONDS
        self._ask_again_at = now + lifetime


class Pipelines:
    """The daemons by projection: one pipeline for all, or a mapping."""

    def __init__(self, daemons: Urls | Mapping[str, Urls], policies: Policies | None) -> None:
        self._all: Daemons | None = None
        self._of: dict[str, Daemons] = {}
        if not isinstance(daemons, Mapping):
            self._all = Daemons(daemons, policies)
            return
        known: dict[tuple[str, ...], Daemons] = {}
        for projection, urls in daemons.items():
            key = (urls,) if isinstance(urls, str) else tuple(urls)
            self._of[projection] = known.setdefault(key, Daemons(key, policies))

    def of(self, projection: str | None) -> Daemons:
        """Those that make the projection. Raises ClientError where none was named for it."""
        if self._all is not None:
            return self._all
        if projection not in self._of:
            known = ", ".join(sorted(self._of))
            raise ClientError(
                f"no daemon was named for projection {projection!r} (named are: {known}): add its "
                "address to the mapping that ReadModels was given"
            )
        return self._of[projection]
