"""How a channel behaves: message sizes, keepalive, reconnection, retries.

gRPC's own retries do the work, from a service config made here: they know
whether a server has seen a call, have a budget and keep the caller's
deadline. See https://github.com/grpc/proposal/blob/master/A6-client-retries.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from imageward_client._limits import BATCH_BYTES_MAX
from imageward_client._rpc import RPCS

# The largest batch, with room for what surrounds its images and hashes.
MESSAGE_BYTES_MAX = BATCH_BYTES_MAX + 2_000_000
# A server drops clients that ping an idle stream more often than every 5 minutes,
# unless it was configured otherwise.
KEEPALIVE_S = 300
KEEPALIVE_TIMEOUT_S = 10
# A restarted server is found again at once; gRPC's own defaults are 1 and 120 s.
RECONNECT_FIRST_S = 0.1
RECONNECT_MAX_S = 1
ATTEMPTS_LIMIT = 5
# Below some milliseconds gRPC loses the retry and the call hangs until its deadline:
# https://github.com/grpc/grpc/issues/41036, seen here at 1 ms.
BACKOFF_S_MIN = 0.01
BUDGET_REFILL_MIN = 0.001
BUDGET_TOKENS_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a call that ended UNAVAILABLE, or that the server cancelled, is sent again.

    Only calls that may be sent twice are: every one but `create_bank` and
    `check_stream`. The waits are `backoff_first_s`, then `backoff_multiplier`
    times the one before up to `backoff_max_s`, each with jitter. Retries end at
    the deadline of the call in any case.

    A call that the server refused as one too many (`Overloaded`) was not begun. It is sent
    again if the server says when, after that time and up to half of it more, and else not.

    The budget is what keeps retries from drowning a server that is in trouble:
    each failure takes a token, each success returns `budget_refill` of one, and
    nothing is retried while half of the tokens or fewer are left. Each of a client's
    channels has one of its own.

    Attributes:
        attempts_max: sendings of a call in all, 1..5; 1 never retries.
        backoff_first_s: wait before the second sending, at least 0.01.
        backoff_max_s: longest wait, at least `backoff_first_s`.
        backoff_multiplier: growth of the wait, at least 1.
        budget_tokens: size of the budget, 1..1,000.
        budget_refill: tokens a success returns, above 0 up to 1; 3 decimals count.

    Raises:
        ValueError: a value is out of its range.
    """

    attempts_max: int = 4
    backoff_first_s: float = 0.05
    backoff_max_s: float = 1.0
    backoff_multiplier: float = 2.0
    budget_tokens: int = 100
    budget_refill: float = 0.1

    def __post_init__(self) -> None:
        within = {
            f"attempts_max is 1..{ATTEMPTS_LIMIT}": 1 <= self.attempts_max <= ATTEMPTS_LIMIT,
            f"backoff_first_s is at least {BACKOFF_S_MIN}": self.backoff_first_s >= BACKOFF_S_MIN,
            "backoff_max_s is at least backoff_first_s": self.backoff_max_s >= self.backoff_first_s,
            "backoff_multiplier is at least 1": self.backoff_multiplier >= 1,
            f"budget_tokens is 1..{BUDGET_TOKENS_LIMIT}": (
                1 <= self.budget_tokens <= BUDGET_TOKENS_LIMIT
            ),
            f"budget_refill is {BUDGET_REFILL_MIN}..1": (
                BUDGET_REFILL_MIN <= self.budget_refill <= 1
            ),
        }
        broken = [bound for bound, holds in within.items() if not holds]
        if broken:
            raise ValueError(f"{'; '.join(broken)}: {self!r}")


def channel_options(retry: RetryPolicy) -> list[tuple[str, Any]]:
    """Returns the options of a channel that retries as the policy says."""
    return [
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.keepalive_time_ms", KEEPALIVE_S * 1_000),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1_000),
        ("grpc.initial_reconnect_backoff_ms", int(RECONNECT_FIRST_S * 1_000)),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_S * 1_000),
        # gRPC keeps 256 KiB of a call by default, and retries no image above that.
        ("grpc.per_rpc_retry_buffer_size", MESSAGE_BYTES_MAX),
        # Channels with equal options would otherwise share one connection.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.service_config", json.dumps(service_config(retry))),
    ]


def service_config(retry: RetryPolicy) -> dict[str, Any]:
    """Returns gRPC's service config for the policy; empty when nothing is retried."""
    if retry.attempts_max == 1:
        return {}
    retried = [{"service": rpc.service, "method": rpc.method} for rpc in RPCS if rpc.idempotent]
    return {
        "methodConfig": [{"name": retried, "retryPolicy": _retry_policy(retry)}],
        "retryThrottling": {"maxTokens": retry.budget_tokens, "tokenRatio": retry.budget_refill},
    }


def _retry_policy(retry: RetryPolicy) -> dict[str, Any]:
    return {
        "maxAttempts": retry.attempts_max,
        "initialBackoff": f"{retry.backoff_first_s:.3f}s",
        "maxBackoff": f"{retry.backoff_max_s:.3f}s",
        "backoffMultiplier": retry.backoff_multiplier,
        # A server that is stopping cancels what arrives before it could say so.
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
