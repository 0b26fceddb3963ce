-- The documents as the mapping of cdc-daemon.yaml wants them, said a second time, by PostgreSQL.
-- Each query is named after its read model, and gives the document id and the document as JSON.

-- hotels
select document.id::text, to_jsonb(document)::text
from (
  select
    id,
    'hotel' as kind,
    name,
    city_name as city,
    country,
    name || ', ' || city_name as label,
    stars,
    coalesce(rating, 0) as rating,
    price,
    amenities,
    contact,
    opened,
    check_in,
    status,
    updated_at
  from hotel
  where status <> 'draft'
) as document;

-- bookings
select document.id::text, to_jsonb(document)::text
from (
  select
    id,
    room_id as room,
    guest,
    arrival,
    arrival + nights as departure,
    nights,
    price,
    round(price / nights, 2) as per_night,
    paid,
    status,
    channel,
    wishes,
    extras,
    booked_at
  from booking
  where status <> 'held'
) as document;
