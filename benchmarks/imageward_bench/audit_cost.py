"""What the audit costs: a change and a reviewer's search, with its rows and without.

Calls with and without take turns, so that what else the machine does falls on both. What
is without leaves the audit's rows out; all else, and the flush of every change to the
disk, stays.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import skimage.data
from rich.console import Console

from imageward_bench.machine import describe
from imageward_client import Client, PdqHash
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash as IndexHash
from imageward_index.policy import Policy
from imageward_server.app import Server, open_store
from imageward_server.config import Config, load
from imageward_server.hasher import InProcessHasher
from imageward_server.store import EntrySource, EntryState, NewEntry, Store
from imageward_server.store.ledger import Ledger

BANK = "bank"
BATCH = 100
TIMEOUT_S = 60.0
Call = Callable[[int], object]


def run(console: Console, count: int, calls: int, seed: int, report: Path | None) -> None:
    """Measure, print, and write the figures as JSON where asked.

    Args:
        console: where to print.
        count: entries in the bank.
        calls: of each kind, with and without.
        seed: of the hashes.
        report: the file, if any.
    """
    generator = np.random.default_rng(seed)
    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="imageward-audit-", dir="/var/tmp")
        )
        flags = {
            "data_dir": Path(folder),
            "listen": "127.0.0.1:0",
            "insecure": True,
            "grace_s": 1.0,
        }
        config = load(flags).config
        store = stack.enter_context(_filled_store(config, generator, count))
        client = stack.enter_context(_served(config))
        figures = {
            name: _compare(call, calls)
            for name, call in {**_changes(store, generator), **_searches(client, generator)}.items()
        }
    said = {"entries": count, "calls": calls, "seed": seed, **figures, "machine": describe()}
    console.print_json(data=said)
    if report is not None:
        report.write_text(json.dumps(said, indent=2) + "\n")


def _changes(store: Store, generator: np.random.Generator) -> dict[str, Call]:
    ids = store.add_entries(BANK, "own", _entries(generator, BATCH)).entry_ids

    def add(turn: int, size: int) -> object:
        return store.add_entries(BANK, f"add {size} {turn}", _entries(generator, size))

    def flip(turn: int) -> object:
        # One entry for each of the two ways, so that every call changes something.
        state = EntryState.ACTIVE if turn // 2 % 2 else EntryState.WITHDRAWN
        return store.set_state([ids[(turn // 4 * 2 + turn % 2) % BATCH]], state)

    return {
        "add_1": lambda turn: add(turn, 1),
        f"add_{BATCH}": lambda turn: add(turn, BATCH),
        "withdraw_or_restore_1": flip,
    }


def _searches(client: Client, generator: np.random.Generator) -> dict[str, Call]:
    photograph = (Path(skimage.data.__file__).parent / "coffee.png").read_bytes()
    return {
        "find_matches_by_hash": lambda _: client.find_matches(hash=PdqHash(generator.bytes(32))),
        "find_matches_by_image": lambda _: client.find_matches(image=photograph),
    }


def _compare(call: Call, calls: int) -> dict[str, Any]:
    """Call with and without in turn; return medians in milliseconds, and their ratio."""
    taken_ms: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * calls):
        audited = turn % 2 == 0
        with ExitStack() as stack:
            if not audited:
                stack.enter_context(_unaudited())
            begun = time.perf_counter()
            call(turn)
            taken_ms[audited].append((time.perf_counter() - begun) * 1000)
    audited_ms, bare_ms = (float(np.median(taken_ms[key])) for key in (True, False))
    return {
        "audited_ms": round(audited_ms, 3),
        "bare_ms": round(bare_ms, 3),
        "ratio": round(audited_ms / bare_ms, 2),
        "more_ms": round(audited_ms - bare_ms, 3),
    }


@contextmanager
def _unaudited() -> Iterator[None]:
    """Leave the audit's rows out: of changes the row, of reads the transaction as well."""
    with (
        mock.patch.object(Ledger, "append", return_value=[]),
        mock.patch.object(Store, "audit"),
    ):
        yield


@contextmanager
def _filled_store(config: Config, generator: np.random.Generator, count: int) -> Iterator[Store]:
    store = open_store(config)
    store.create_bank(BANK, Policy())
    for request in range(0, count, 1_000):
        store.add_entries(BANK, f"fill {request}", _entries(generator, 1_000))
    yield store
    store.close()


@contextmanager
def _served(config: Config) -> Iterator[Client]:
    server = Server(config, InProcessHasher())
    server.start(lambda *_: None)
    with Client(f"127.0.0.1:{server.port}", timeout_s=TIMEOUT_S) as client:
        yield client
    server.stop()


def _entries(generator: np.random.Generator, count: int) -> list[NewEntry]:
    return [
        NewEntry(Fingerprint(IndexHash(generator.bytes(32), 80)), EntrySource.HASH)
        for _ in range(count)
    ]
