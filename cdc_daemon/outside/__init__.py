"""What demo and price share: the daemon as a process, and all of it as an application sees it.

Everything here looks from outside; nothing here imports the daemon.
"""
