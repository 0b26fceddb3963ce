"""Existing rows: read in chunks while the stream goes on, and each released at the right moment."""
