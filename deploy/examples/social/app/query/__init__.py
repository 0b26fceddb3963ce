"""The side that answers questions: from read models, and from the source where a policy says so."""
