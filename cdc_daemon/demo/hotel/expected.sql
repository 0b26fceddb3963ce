-- The documents as the mapping of cdc-daemon.yaml wants them, said a second time, by PostgreSQL.
-- Each query is named after its read model, and gives the document id and the document as JSON.

-- hotels
select document.id::text, to_jsonb(document)::text
from (
  select
    hotel.id,
    'hotel' as kind,
    hotel.name,
    hotel.name || ', ' || city.name as label,
    hotel.stars,
    hotel.contact,
    hotel.opened,
    hotel.check_in,
    hotel.status,
    hotel.updated_at,
    jsonb_build_object('name', city.name, 'country', city.country) as city,
    case
      when chain.id is not null
        then jsonb_build_object('name', chain.name, 'website', chain.website)
    end as chain,
    rooms.list as rooms,
    rooms.cheapest as price,
    (
      select coalesce(jsonb_agg(amenity.name order by amenity.name collate "C"), '[]')
      from hotel_amenity
      join amenity on amenity.id = hotel_amenity.amenity_id
      where hotel_amenity.hotel_id = hotel.id
    ) as amenities,
    reviews.count as reviews,
    reviews.rating,
    (
      select jsonb_build_object('guest', guest, 'rating', rating, 'title', title)
      from review
      where review.hotel_id = hotel.id and not hidden
      order by written_at desc, id desc
      limit 1
    ) as last_review
  from hotel
  join city on city.id = hotel.city_id
  left join chain on chain.id = hotel.chain_id
  cross join lateral (
    select
      coalesce(
        jsonb_agg(
          jsonb_build_object('number', number, 'beds', beds, 'price', price)
          order by price, number collate "C"
        ),
        '[]'
      ) as list,
      min(price) as cheapest
    from room
    where room.hotel_id = hotel.id
  ) as rooms
  cross join lateral (
    select count(*) as count, avg(rating) as rating
    from review
    where review.hotel_id = hotel.id and not hidden
  ) as reviews
  where hotel.status <> 'draft'
) as document;

-- rooms
select document.id::text, to_jsonb(document)::text
from (
  select
    room.id,
    room.number,
    room.beds,
    room.price,
    jsonb_build_object('id', hotel.id, 'name', hotel.name, 'city', city.name) as hotel,
    (
      select
        coalesce(
          jsonb_agg(
            jsonb_build_object('arrival', arrival, 'departure', arrival + nights)
            order by arrival, booking.id
          ),
          '[]'
        )
      from booking
      where booking.room_id = room.id
    ) as taken
  from room
  join hotel on hotel.id = room.hotel_id
  join city on city.id = hotel.city_id
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
