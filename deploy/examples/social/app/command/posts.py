"""Posting: the post and its tags, in one transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from deploy.examples.showcase.refusal import RefusedError

if TYPE_CHECKING:
    import psycopg

LONGEST: Final = 500
MOST_TAGS: Final = 10
TAG: Final = re.compile(r"#(\w{1,30})")
POST: Final = """
insert into post (author_id, body)
select id, %s from account where handle = %s
returning id
"""
NAME_TAGS: Final = "insert into tag (name) select unnest(%s::text[]) on conflict (name) do nothing"
GIVE_TAGS: Final = """
insert into post_tag (post_id, tag_id)
select %s, id from tag where name = any(%s)
"""


def post(connection: psycopg.Connection[Any], handle: str, body: str) -> None:
    """Post, in the open transaction. Raises RefusedError for what isn't one."""
    if not 0 < len(body) <= LONGEST:
        raise RefusedError(400, f"A post has from 1 to {LONGEST} letters.")
    row = connection.execute(POST, [body, handle]).fetchone()
    if row is None:
        raise RefusedError(403, "This account isn't there any more: sign in again.")
    # In one sequence, so that two posts with the same new tags don't wait for each other.
    tags = sorted({tag.lower() for tag in TAG.findall(body)[:MOST_TAGS]})
    if tags:
        connection.execute(NAME_TAGS, [tags])
        connection.execute(GIVE_TAGS, [row[0], tags])
