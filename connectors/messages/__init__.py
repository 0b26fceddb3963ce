"""What every source has in common whose rows come as messages, and whose tables have no catalog."""
