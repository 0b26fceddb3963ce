"""What each way to synchronise costs and misses: one store and one workload through each of them.

Connectors are reached as users reach them: configuration files, the command line, HTTP. What was
missed is counted by an oracle over a journal of all that was committed, from outside.
"""
