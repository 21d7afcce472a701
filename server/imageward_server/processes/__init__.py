"""A server's processes: a supervisor that starts and replaces workers, and what joins them.

    serving.py            reserve the port, supervise, tell when it serves
    supervisor.py         start, replace, restart and stop workers
    worker.py             a worker; `worker_process` is how the supervisor sees it
    worker_link.py        what the two say to each other
    listen_socket.py      the port that all share; `connection_spread` deals out connections
    roster.py             who serves a data folder, for `workers_command`
    load_progress.py      how far a start is

Nothing here but `worker` loads gRPC, NumPy or a database.
"""
