-- What the network holds before anything follows it: 400 accounts, 4,000 follows, 2,000 posts,
-- 6,000 comments, 20,000 likes; the same rows each time.
insert into account (handle, name, about, joined_at)
select
  lower(first) || '_' || n,
  first || ' ' || last,
  case when n % 3 = 0 then 'Writes about ' || topic end,
  timestamptz '2025-01-01 00:00:00+00' + n * interval '5 hours'
from generate_series(1, 400) as n
cross join lateral (
  select
    (array['Ada', 'Bela', 'Chloe', 'Dora', 'Emil', 'Farah', 'Goran', 'Hedy'])[1 + n % 8] as first,
    (array['Adams', 'Borg', 'Curie', 'Dijkstra', 'Euler', 'Fuchs', 'Gauß'])[1 + n % 7] as last,
    (array['birds', 'bread', 'trains', 'maps', 'chess'])[1 + n % 5] as topic
) as drawn;

-- The first accounts are followed by many, the last by few.
insert into follow (follower_id, followed_id, since)
select follower, followed, timestamptz '2025-06-01 00:00:00+00' + step * interval '1 minute'
from generate_series(1, 400) as follower
cross join generate_series(1, 12) as step
cross join lateral (select 1 + (follower * 17 + step * step * 13) % (34 * step) as followed) as one
where followed <= 400 and followed <> follower
on conflict do nothing;

insert into tag (name)
select unnest(array['birds', 'bread', 'chess', 'cycling', 'maps', 'music', 'python', 'trains']);

insert into post (author_id, body, posted_at, deleted_at)
select
  1 + (n * 7) % 400,
  (array['Saw', 'Drew', 'Heard', 'Missed', 'Looked for'])[1 + n % 5] || ' '
    || (array['a heron', 'a rye loaf', 'the night train', 'an old map', 'a gambit'])[1 + n % 7 % 5]
    || ' in ' || (array['Riga', 'Graz', 'Porto', 'Turku'])[1 + n % 4] || ', number ' || n,
  timestamptz '2026-01-01 08:00:00+00' + n * interval '3 hours',
  case when n % 40 = 0 then timestamptz '2026-10-01 00:00:00+00' end
from generate_series(1, 2000) as n;

insert into post_tag (post_id, tag_id)
select post.id, tag.id
from post
cross join tag
where (post.id + 3 * tag.id) % 5 = 0;

-- Every third comment answers the one before it.
insert into comment (post_id, parent_id, author_id, body, written_at)
select
  1 + (n / 3) % 2000,
  case when n % 3 = 2 then n end,
  1 + (n * 11) % 400,
  (array['Me too', 'Where exactly?', 'How nice', 'Are you sure?', 'Thank you'])[1 + n % 5],
  timestamptz '2026-09-01 00:00:00+00' + n * interval '1 minute'
from generate_series(0, 5999) as n;

insert into post_like (post_id, account_id)
select 1 + n % 2000, 1 + (n * 13 + n / 2000) % 400
from generate_series(0, 19999) as n
on conflict do nothing;

analyze;
