"""Writes a data folder of this version, for later versions to open: `stores/FORMAT`.

    .venv/bin/python tests/golden/make_store.py

Everything in it comes from fixed seeds: hashes of random bytes, fingerprints of noise, two
cases under a key that is written beside them. No photograph is in it, nor made into it.
`expected.json` says what this version answers from it. One that is there is not touched.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from imageward_client import Client
from imageward_client import PdqHash as ClientHash
from imageward_index.decode import cv2
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.picture import take_fingerprint
from imageward_index.policy import Action, Policy
from imageward_server.app import Server, open_store
from imageward_server.audit.row import Actor
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher
from imageward_server.intake import cases, review, withdrawal
from imageward_server.intake.intake import Intake
from imageward_server.intake.quarantine import FOLDER, Quarantine
from imageward_server.intake.reception import Arrival
from imageward_server.intake.review import Decision
from imageward_server.intake.settings import IntakeSettings
from imageward_server.store import EntrySource, EntryState, NewEntry, Store
from imageward_server.store.migrate import newest_format

STORES = Path(__file__).parent / "stores"
SEED = 20261123
INTAKE_KEY = bytes(range(32))
# In the year 2096: what was withdrawn then is not due to be erased while this is tested.
CLOCK_S = 4_000_000_000.0
ANA = Actor("ana", "reviewer", "golden")
CASES = {"banked": "sam@example.org", "withdrawn": "kim@example.org"}


def main() -> None:
    """Write the folder of this format, unless there is one."""
    target = STORES / newest_format()
    if target.exists():
        sys.exit(f"{target} exists: what has landed is never edited")
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = Path(scratch) / "data"
        generator = np.random.default_rng(SEED)
        query = _noise(generator)
        store = open_store(_config(data_dir), lambda: CLOCK_S)
        _fill(store, generator, query)
        intake = open_golden_intake(store, data_dir)
        numbers = _go_through_cases(intake, generator)
        store.close()
        expected = {"cases": numbers, **ask(data_dir, _crop(query), list(numbers.values()))}
        shutil.rmtree(data_dir / FOLDER)
        shutil.copytree(data_dir, target / "data")
        (target / "query.jpg").write_bytes(_crop(query))
        (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(f"{target} is made; commit it")  # noqa: T201 - a command's answer


def open_golden_intake(store: Store, data_dir: Path) -> Intake:
    """Open the intake of a golden store."""
    intake = Intake(
        store=store,
        hasher=InProcessHasher(),
        quarantine=Quarantine(data_dir / FOLDER, INTAKE_KEY),
        settings=IntakeSettings(),
        surfaces=frozenset({"FACEBOOK"}),
        master_key=INTAKE_KEY,
        clock=lambda: CLOCK_S,
    )
    intake.prepare()
    return intake


def ask(data_dir: Path, query: bytes, numbers: list[str]) -> dict[str, Any]:
    """Serve a data folder; return what it answers about everything that is in it."""
    server = Server(_config(data_dir), InProcessHasher())
    server.start(lambda *_: None)
    try:
        with Client(f"127.0.0.1:{server.port}", timeout_s=60) as client:
            entries = [_plain_entry(entry) for entry in client.list_entries()]
            hashes = [ClientHash(bytes.fromhex(one["hash"])) for one in entries if one["hash"]]
            return {
                "banks": [_plain_bank(bank) for bank in client.list_banks()],
                "entries": entries,
                "hash_checks": [_plain_check(one) for one in client.check_hashes(hashes).results],
                "image_check": _plain_check(client.check_image(query)),
                "contacts": _contacts(data_dir, numbers),
            }
    finally:
        server.stop()


def _config(data_dir: Path) -> Config:
    return Config(data_dir=data_dir, listen="127.0.0.1:0", grace_s=1.0, insecure=True)


def _fill(store: Store, generator: np.random.Generator, query: bytes) -> None:
    """Bank hashes, fingerprints and the query's, under three policies; withdraw some."""
    store.create_bank("block", Policy(), ANA)
    store.create_bank("review", Policy(action=Action.REVIEW, radius_bits=20), ANA)
    store.create_bank("log", Policy(action=Action.LOG, surfaces=frozenset({"FACEBOOK"})), ANA)
    for number, bank in enumerate(("block", "review", "log")):
        new = [
            NewEntry(Fingerprint(PdqHash(generator.bytes(32), 80)), EntrySource.HASH, f"r {row}")
            for row in range(12)
        ]
        ids = store.add_entries(bank, f"request {number}", new, ANA).entry_ids
        store.set_state(ids[::3], EntryState.WITHDRAWN, ANA)
        store.erase(ids[:1])
        store.finish_erasures(ids[:1])
    pictures = [query, _noise(generator)]
    new = [NewEntry(_fingerprint(one), EntrySource.IMAGE, "picture") for one in pictures]
    ids = store.add_entries("block", "pictures", new, ANA).entry_ids
    store.set_state(ids[-1:], EntryState.WITHDRAWN, ANA)
    store.check_point()


def _go_through_cases(intake: Intake, generator: np.random.Generator) -> dict[str, str]:
    """Take a picture of each case to its entry, and one case back; return the numbers."""
    numbers = {}
    for name, contact in CASES.items():
        with intake.store.changing() as head:
            number = cases.open_case(
                intake, head, opener="helpline", region="UK", language="en", contact=contact
            )
        with Arrival(intake, number) as arrival:
            arrival.write(_noise(generator))
            arrival.finish()
        review.decide(intake, arrival.id, Decision("ana"))
        numbers[name] = number
    withdrawal.withdraw(intake, numbers["withdrawn"])
    return numbers


def _contacts(data_dir: Path, numbers: list[str]) -> dict[str, str | None]:
    store = open_store(_config(data_dir))
    intake = open_golden_intake(store, data_dir)
    with store.reading() as connection:
        found = {
            number: cases.contact_of(intake, cases.get(connection, number)) for number in numbers
        }
    store.close()
    return found


def _noise(generator: np.random.Generator) -> bytes:
    """Draw a picture of smooth noise, as a JPEG of 512 by 384 pixels."""
    coarse = generator.integers(0, 256, (24, 32), np.uint8)
    drawn = cv2.resize(coarse, (512, 384), interpolation=cv2.INTER_CUBIC)
    return _jpeg(drawn)


def _crop(image: bytes) -> bytes:
    """Keep the middle of a picture, so that it is found by its parts alone."""
    drawn = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    return _jpeg(drawn[40:340, 60:460])


def _jpeg(drawn: Any) -> bytes:  # noqa: ANN401 - OpenCV's own array type
    return cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, 50])[1].tobytes()


def _fingerprint(image: bytes) -> Fingerprint:
    drawn = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    return take_fingerprint(np.asarray(drawn, np.uint8))


def _plain_entry(entry: Any) -> dict[str, Any]:  # noqa: ANN401 - the client's own
    return {
        "id": entry.id,
        "bank": entry.bank,
        "state": entry.state.name,
        "hash": entry.hash and entry.hash.value.hex(),
        "reference": entry.reference,
    }


def _plain_bank(bank: Any) -> dict[str, Any]:  # noqa: ANN401 - the client's own
    return {
        "name": bank.name,
        "action": bank.action.name,
        "radius": bank.radius_bits,
        "surfaces": sorted(bank.surfaces),
    }


def _plain_check(result: Any) -> dict[str, Any]:  # noqa: ANN401 - the client's own
    return {"verdict": result.verdict.name, "entry_ids": sorted(result.entry_ids)}


if __name__ == "__main__":
    main()
