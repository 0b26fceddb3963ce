"""Replicas of a pipeline that share its documents: which are ours, and how far all of them are."""
