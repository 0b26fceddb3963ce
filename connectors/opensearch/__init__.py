"""The OpenSearch sink: documents in, searchable read models out."""

from connectors.opensearch.sink import OpenSearchSink

__all__ = ["OpenSearchSink"]
