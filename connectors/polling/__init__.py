"""Tables of a PostgreSQL database as a source: read again and again, and compared."""

from connectors.polling.source import PollingSource

__all__ = ["PollingSource"]
