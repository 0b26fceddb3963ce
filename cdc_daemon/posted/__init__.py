"""Changes that applications post over HTTP: read, and written beside a stream, or as the stream."""
