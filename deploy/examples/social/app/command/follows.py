"""Following somebody, and no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

FOLLOW: Final = """
insert into follow (follower_id, followed_id)
select follower.id, followed.id
from account as follower
join account as followed on followed.handle = %s and followed.id <> follower.id
where follower.handle = %s
on conflict do nothing
"""
UNFOLLOW: Final = """
delete from follow
where
  followed_id = (select id from account where handle = %s)
  and follower_id = (select id from account where handle = %s)
"""


def follow(connection: psycopg.Connection[Any], handle: str, followed: str) -> None:
    """Follow, in the open transaction; nothing happens where that is so already."""
    connection.execute(FOLLOW, [followed, handle])


def unfollow(connection: psycopg.Connection[Any], handle: str, followed: str) -> None:
    """Follow no longer, in the open transaction."""
    connection.execute(UNFOLLOW, [followed, handle])
