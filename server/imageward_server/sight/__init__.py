"""What a server shows of itself: numbers, and where the time of a call goes.

    catalogue.py    every metric: name, kind, labels, meaning. The one list there is
    page.py         numbers in memory that a process shares with whoever shows them
    meters.py       what a worker counts; the parts call it and know nothing else of metrics
    sampler.py      what a worker is asked for once a second
    ledger.py       the supervisor's: pages of workers that run, sums of those that ended
    exposition.py   the ledger over HTTP. The one file that imports prometheus_client
    health_port.py  health in clear, for probes that speak no TLS
    tracing.py      spans of a call. The one file of the server that imports opentelemetry

A worker counts into memory that the supervisor opened for it, so a count is safe the
moment it is made: `kill -9` loses none, and nothing is written to a disk.
"""
