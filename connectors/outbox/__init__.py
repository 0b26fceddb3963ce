"""An outbox table in PostgreSQL as a source: triggers write into it, or applications do."""

from connectors.outbox.source import OutboxSource

__all__ = ["OutboxSource"]
