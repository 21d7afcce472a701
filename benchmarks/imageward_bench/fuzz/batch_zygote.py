"""A zygote whose cells make spoiled files themselves, a batch at an order.

Such a cell is otherwise the server's: forked, locked in, and opening files as that does.
Run as `imageward_server.cage.zygote` is.
"""

from __future__ import annotations

import json
import socket
import sys
import time

from imageward_bench.fuzz.batch import NUMBER_BYTES, RUN_BATCH, Batch, Done
from imageward_bench.fuzz.numbered import Numbered, Spoiled
from imageward_index.cost import expected_s
from imageward_server.cage import zygote
from imageward_server.cage.cell import Cell, reduced_to
from imageward_server.cage.job import IMAGE_S_MAX
from imageward_server.cage.payloads import (
    InvalidPayload,
    read_fingerprint,
    read_hashes,
    read_refusal,
)
from imageward_server.cage.protocol import Message, Order, Outcome
from imageward_server.cage.retirement import Retirement

DECODED = "decoded"
TOO_COSTLY = "too costly"


class BatchCell(Cell):
    """A cell that can also run a batch."""

    def carry_out(self, order: Message) -> tuple[Outcome, bytes]:
        """Carry out one order, as a cell does."""
        if order.kind != RUN_BATCH:
            return super().carry_out(order)
        done = self._run(*Batch.unpack(self._memory[: order.value]))
        return Outcome.DONE, json.dumps(vars(done)).encode()

    def _run(self, batch: Batch, made: Numbered) -> Done:
        done = Done()
        for number in range(batch.first, batch.end):
            self._memory[:NUMBER_BYTES] = number.to_bytes(NUMBER_BYTES, "little")
            spoiled = made[number]
            begun = time.thread_time()
            outcome = self._execute(spoiled)
            took_s = time.thread_time() - begun
            done.executions += 1
            done.outcomes[outcome] += 1
            done.formats[spoiled.extension] += 1
            if outcome in _FINDS:
                done.finds.append((number, outcome))
            if took_s > done.worst_s:
                done.worst_s, done.worst_number = took_s, number
        return done

    def _execute(self, spoiled: Spoiled) -> str:
        """Open and hash a file by the orders that a server gives; returns how it ended."""
        self._picture, self._image = None, spoiled.data
        orders = (Order.FINGERPRINT,) if spoiled.banked else (Order.OPEN, Order.WHOLE)
        take = Order.TAKE if spoiled.banked else Order.TAKE_REDUCED
        if expected_s(spoiled.data, reduced_to(take)) > IMAGE_S_MAX:
            return TOO_COSTLY
        for order in orders:
            outcome, result = super().carry_out(Message(order))
            if outcome is not Outcome.DONE:
                break
        return _judged(orders[-1], outcome, bytearray(result))


def _judged(order: Order, outcome: Outcome, result: bytearray) -> str:
    """Read an answer as the server would, which believes nothing."""
    try:
        if outcome is Outcome.DONE:
            (read_fingerprint if order is Order.FINGERPRINT else read_hashes)(result)
            return DECODED
        if outcome is not Outcome.FAILED:
            read_refusal(result)
    except InvalidPayload:
        return Retirement.LYING.value
    return outcome.name.lower()


_FINDS = (Outcome.FAILED.name.lower(), Retirement.LYING.value)


if __name__ == "__main__":
    zygote.Cell = BatchCell  # type: ignore[attr-defined]
    zygote.main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
