"""One peer a file, and the harness that measures it; run by the peer's own Python.

Nothing here imports imageward_bench, except the two that are imageward itself: a
peer's environment has the peer and NumPy, no more.
"""
