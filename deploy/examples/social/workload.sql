-- One transaction of the workload, for pgbench; with --random-seed the same ones each time, but for
-- the time of day.
--   pgbench -n -f workload.sql -t 500 --random-seed=1 "$DATABASE_URL"
\set what random(1, 100)
\set account random(1, 400)
\set other random_zipfian(1, 400, 1.2)
\set post random(1, 2000)
\set comment random(1, 6000)
\set tag random(1, 8)
\set number random(1, 1000)
\if :what <= 30
-- somebody likes a post
insert into post_like values (:post, :account) on conflict do nothing;
\elif :what <= 35
-- somebody doesn't any more
delete from post_like
where (post_id, account_id) in (
  select post_id, account_id from post_like where post_id = :post order by account_id limit 1
);
\elif :what <= 50
-- a post is commented
insert into comment (post_id, author_id, body)
select id, :account, 'Comment ' || :number from post where id = :post and deleted_at is null;
\elif :what <= 60
-- a comment is answered
insert into comment (post_id, parent_id, author_id, body)
select post_id, id, :account, 'Answer ' || :number from comment where id = :comment;
\elif :what <= 64
-- a comment is deleted, and with it the answers
delete from comment where id = :comment;
\elif :what <= 74
-- somebody posts, with a tag, in one transaction
begin;
insert into post (author_id, body) values (:account, 'News ' || :number);
insert into post_tag values (currval(pg_get_serial_sequence('post', 'id')), :tag);
commit;
\elif :what <= 78
-- a post is edited
update post set body = 'Corrected: news ' || :number where id = :post;
\elif :what <= 81
-- a post is deleted softly, or restored
update post set deleted_at = case when deleted_at is null then now() end where id = :post;
\elif :what <= 84
-- a post gets a tag, or loses it
insert into post_tag values (:post, :tag) on conflict do nothing;
delete from post_tag where post_id = :post + 1 and tag_id = :tag;
\elif :what <= 94
-- somebody follows somebody, most of them a few
insert into follow (follower_id, followed_id)
select :account, :other where :account <> :other
on conflict do nothing;
\elif :what <= 97
-- somebody doesn't any more
delete from follow where follower_id = :account and followed_id <= :other;
\elif :what <= 99
-- an account has another name: its posts and comments show it
update account set name = split_part(name, ' the ', 1) || ' the ' || :number || 'th'
where id = :account;
\else
-- a tag has another name: all its posts show it
update tag set name = split_part(name, '-', 1) || '-' || :number where id = :tag;
\endif
