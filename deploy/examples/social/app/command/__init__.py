"""The side that takes commands: what is written, and who belongs to which user class."""
