"""The decoder's cage: image bytes are read only in processes that can do nothing else.

    server process                     zygote                    cell
    `cage` leases cells from `pool`    spawned, one thread,      forked from it, one job at
    and checks what they answer        sees no image             a time, locked in by `jail`

A *cell* is a sandboxed process. The *zygote* is a process that has loaded all that a
cell needs: a cell forked from it is ready in milliseconds, where one that is started
anew takes a second. It is started as a program of its own, never forked from the
server, which has threads. Nothing is imported here: the zygote must not load what only
the server needs.
"""
