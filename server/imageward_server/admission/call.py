"""What admission knows of a call: who calls what, how urgent it is, until when."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass


class Priority(enum.IntEnum):
    """Whose turn it is first; among equals, the caller that used least."""

    URGENT = 0  # withdrawals, health, what reviewers wait for
    CHECK = 1  # what uploads wait for
    BULK = 2  # imports and large batches


@dataclass(slots=True)
class Call:
    """One call, or one question of a stream.

    Attributes:
        method: full name of the method.
        caller: whom its share and rate are counted for.
        priority: how urgent it is.
        deadline: on `time.monotonic`, in seconds.
        calls_per_s: the caller's rate, if it has one of its own; 0 for no limit.
        question_bytes: of a stream's question, its size; None for a single call, which
            is counted when it arrives and not when it computes.
        begun: whether it has had a place: work that is half done is not refused.
    """

    method: str
    caller: str
    priority: Priority
    deadline: float
    calls_per_s: float | None = None
    question_bytes: int | None = None
    begun: bool = False

    @property
    def left_s(self) -> float:
        """Seconds until nobody waits for the answer any more; negative after that."""
        return self.deadline - time.monotonic()


# Waits for a place to compute in, for the call of this thread, and holds it.
Place = Callable[[], AbstractContextManager[None]]
# gRPC runs each call in a context of its own.
current_call: ContextVar[Call] = ContextVar("current_call")
