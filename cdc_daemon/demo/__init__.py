"""The demo: a hotel store, a steady workload, the daemon, and the replication delay on the screen.

What it measures and checks, it measures and checks from outside: nothing here imports the daemon.
"""
