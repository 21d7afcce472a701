"""The load generator: schedules, requests, connections, processes, samples.

It speaks gRPC over HTTP/2 by itself. A call of Python's gRPC client costs about 200
microseconds of processor time, more than the server's side of it; on a machine that
holds both, a generator made of it would measure itself. This one costs a tenth.
"""
