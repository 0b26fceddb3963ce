"""What both web applications share: how a page says how it was read, and what starts everything."""
