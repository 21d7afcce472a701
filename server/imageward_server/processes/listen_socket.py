"""The port that all workers share: reserved by the supervisor before any of them is there.

A socket that is bound and does not listen takes no connection, and keeps the port for
those who bind it with SO_REUSEPORT, which the kernel allows to one user's processes alone.
"""

from __future__ import annotations

import socket


def split_address(listen: str) -> tuple[str, int]:
    """Split `host:port`; an IPv6 host loses its brackets."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def reserve_port(listen: str, *, shared: bool) -> socket.socket:
    """Bind the port for as long as the socket is open.

    Args:
        listen: `host:port`; port 0 takes a free one.
        shared: another supervisor's workers may listen there now.

    Raises:
        OSError: the address cannot be bound, or somebody listens there.
    """
    host, port = split_address(listen)
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if not shared:
            # With SO_REUSEPORT two servers would share the uploads, and nobody notice.
            with socket.socket(family, kind) as probe:
                # Connections of a server that has just ended do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        reserved = socket.socket(family, kind)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError as error:
        raise OSError(f"cannot listen on {listen}; is another server there? ({error})") from error
    return reserved
