"""Accounts: made when somebody comes for the first time; and the user class that each is in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from deploy.examples.showcase.person import ORDINARY
from deploy.examples.showcase.refusal import RefusedError
from deploy.examples.social.app.influence import FAN, INFLUENCER_FOLLOWERS

if TYPE_CHECKING:
    import psycopg

HANDLE: Final = re.compile(r"[a-z0-9_]{1,30}", re.ASCII)
"""As the table has it, and no longer than fits a page."""
ARRIVE: Final = """
insert into account (handle, name) values (%s, %s) on conflict (handle) do nothing
"""
IS_FAN: Final = """
select exists (
  select from follow as own
  join account on account.id = own.follower_id
  where handle = %s and (
    select count(*) from follow as other where other.followed_id = own.followed_id
  ) >= %s
)
"""


def arrive(connection: psycopg.Connection[Any], handle: str) -> None:
    """Make the account if it isn't there. Raises RefusedError where none can be called so."""
    if not HANDLE.fullmatch(handle):
        raise RefusedError(400, "A handle has up to 30 small letters, digits and _.")
    connection.execute(ARRIVE, [handle, handle.replace("_", " ").title()])


def user_class(connection: psycopg.Connection[Any], handle: str) -> str:
    """Whether somebody follows an influencer: such people have a policy of their own."""
    row = connection.execute(IS_FAN, [handle, INFLUENCER_FOLLOWERS]).fetchone()
    return FAN if row and row[0] else ORDINARY
