"""How applications name tables in the outbox."""

from __future__ import annotations

from cdc_daemon.events import Relation
from connectors.outbox.noting import written_names


def table(schema: str, name: str) -> Relation:
    """One without columns."""
    return Relation(schema, name, ())


def test_tables_are_named_as_in_mappings() -> None:
    """One of the schema public needs no schema; another one does."""
    names = written_names([table("public", "hotel"), table("other", "hotel")])
    assert names == {"public.hotel": ("public.hotel", "hotel"), "other.hotel": ("other.hotel",)}


def test_no_name_is_that_of_two_tables() -> None:
    """A name with a dot in it reads as a schema and a name, where there is such a table."""
    names = written_names([table("public", "other.hotel"), table("other", "hotel")])
    assert names == {"public.other.hotel": ("public.other.hotel",), "other.hotel": ("other.hotel",)}
