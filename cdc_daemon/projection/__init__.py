"""Projections: declarative mappings compiled to functions from changes to document contents."""
