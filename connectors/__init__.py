"""The outside systems: one folder each, found by entry point, knowing only the daemon's ports."""
