"""Replication consistency: how far behind the read models are, and what clients may rely on."""
