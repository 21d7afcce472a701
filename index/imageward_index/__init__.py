"""Pixels to hashes, hashes to exact search, matches to a decision.

The way an upload takes through this package:

1. `decode`   bytes -> an upright grey picture, within bounds, after `headers` looked at them
2. `pdq`      grey -> a 256-bit hash in 8 orientations, and its quality
3. `index`    hashes -> entries within a radius, exactly
4. `matcher`  entries, policies and a surface -> a verdict

It knows no gRPC and no database.
"""
