"""Changes that are passed on as they are, exactly once: from a source to a relay."""
