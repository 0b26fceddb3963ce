"""What each consistency costs, and the proof that it holds: a workload, its history, a checker.

The history is what clients did and saw, with the times of one clock. It is checked from outside:
nothing here imports the daemon.
"""
