"""The same from the source, where a policy says `on_timeout: source`: right, and dearer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psycopg.rows import dict_row

if TYPE_CHECKING:
    import psycopg

POSTS: Final = """
select
  post.id, body, to_char(posted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') as posted_at,
  jsonb_build_object('handle', author.handle) as author
from post
join account as author on author.id = author_id
where author.handle = %s and deleted_at is null
order by post.posted_at desc, post.id desc
limit 20
"""
TIMELINE: Final = """
select
  post.id, body, to_char(posted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') as posted_at,
  author.handle as author
from account
join follow on follower_id = account.id
join post on author_id = followed_id
join account as author on author.id = author_id
where account.handle = %s and deleted_at is null
order by post.posted_at desc, post.id desc
limit 10
"""


def posts_of(source: psycopg.Connection[Any], handle: str) -> list[dict[str, Any]]:
    """The newest posts of somebody, as `posts` would have them, without the likes."""
    with source.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(POSTS, [handle]).fetchall()


def timeline_of(source: psycopg.Connection[Any], handle: str) -> list[dict[str, Any]]:
    """The document that `timelines` would have."""
    with source.cursor(row_factory=dict_row) as cursor:
        return [{"posts": cursor.execute(TIMELINE, [handle]).fetchall()}]
