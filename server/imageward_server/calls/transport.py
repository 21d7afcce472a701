"""What gRPC itself enforces on connections, in one place, before any of our code runs.

Nothing here knows a method or a message. Each limit is in OPERATIONS.md.
"""

from __future__ import annotations

from typing import Any

# Somewhat over the largest request that is allowed, so that the next larger ones
# are refused by the services, with a reason, and not by the transport.
MESSAGE_BYTES_MAX = 36_000_000
METADATA_BYTES_MAX = 8 * 1024
# What one caller may have open at once, and half of that more, so that the next is refused
# with a reason. gRPC holds all that unpacking a header block made until its call is refused:
# of 100 such calls it held 590 MB, of 48 it held 80.
STREAMS_PER_CONNECTION_MAX = 48
# A peer that has not sent a whole preface and SETTINGS by then is cut.
HANDSHAKE_S_MAX = 5
# Silence after which the server pings, and after which of an unanswered ping it cuts.
KEEPALIVE_S = 60
KEEPALIVE_TIMEOUT_S = 20
# Pings are answered, however many come. gRPC would count those without need as strikes, but
# makes an error and a GOAWAY of each one that it has read already, and ends the connection
# only when they are written: a flood that is answered takes a fifteenth of the processor.
PING_STRIKES_MAX = 0
FRAME_BYTES_MAX = 16 * 1024
# How much of a message is taken from a peer before the call is admitted. To take 64 KiB of a
# picture is a tenth of what refusing it costs. The price: a message between the two sizes
# waits one round trip for leave to send the rest, as larger ones do either way.
LOOKAHEAD_BYTES = 16 * 1024
# Calls of one method that gRPC keeps until Python takes them: from the first number on
# it drops some, from the second all, without a word from us.
PENDING_CALLS_MAX = 256
PENDING_CALLS_HARD_MAX = 512


def options(
    *, connections_max: int, age_s: float, grace_s: float, idle_s: float
) -> list[tuple[str, Any]]:
    """Return gRPC's options for the server.

    Args:
        connections_max: connections open at once; the next is closed unanswered.
        age_s: seconds after which a connection is asked to close.
        grace_s: seconds that calls of such a connection may go on.
        idle_s: seconds after which an unused connection is closed.
    """
    return [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        # Between the two gRPC refuses at random, above the second always.
        ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
        ("grpc.max_allowed_incoming_connections", connections_max),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_S_MAX * 1_000),
        ("grpc.http2.settings_timeout", HANDSHAKE_S_MAX * 1_000),
        ("grpc.keepalive_time_ms", KEEPALIVE_S * 1_000),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_ping_strikes", PING_STRIKES_MAX),
        ("grpc.max_connection_idle_ms", int(idle_s * 1_000)),
        ("grpc.max_connection_age_ms", int(age_s * 1_000)),
        ("grpc.max_connection_age_grace_ms", int(grace_s * 1_000)),
        ("grpc.http2.max_frame_size", FRAME_BYTES_MAX),
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        # Without it a window grows to megabytes, for each call that waits.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.server.max_pending_requests", PENDING_CALLS_MAX),
        ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS_HARD_MAX),
    ]
