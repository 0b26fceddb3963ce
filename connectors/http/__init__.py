"""Applications as the source: what they post over HTTP is the stream."""

from connectors.http.source import HttpSource

__all__ = ["HttpSource"]
