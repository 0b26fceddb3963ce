"""The web side: health, metrics and status over HTTP."""
