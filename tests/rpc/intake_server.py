"""A server with an intake, and the intake opened beside it as its own process does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from imageward_server.access import Credential, Role, hash_secret
from imageward_server.app import open_store
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher
from imageward_server.intake import review
from imageward_server.intake.intake import Intake
from imageward_server.intake.opening import open_intake
from imageward_server.intake.reception import Arrival
from imageward_server.intake.review import Decision
from imageward_server.key_file import new_key, write_key

SECRET = "correct-horse-battery-staple"  # noqa: S105 - of the tests alone
SURFACES = ("FACEBOOK", "INSTAGRAM", "MESSENGER")
ROLES = {"helpline": "partner", "other": "partner", "ana": "reviewer", "feed": "frontend"}


def configure(folder: Path) -> Config:
    """Return a configuration with an intake and a credential of each role."""
    key = folder / "master.key"
    key.write_text(write_key(new_key()))
    key.chmod(0o600)
    lines = [f'master_key_file = "{key}"']
    file = folder / "intake.toml"
    file.write_text("\n".join(lines))
    secret_hash = hash_secret(SECRET)
    return Config(
        data_dir=folder / "data",
        listen="127.0.0.1:0",
        insecure=True,
        intake_config=file,
        credentials={
            n: Credential(role=Role(r), secret_hash=secret_hash) for n, r in ROLES.items()
        },
    )


@contextlib.contextmanager
def opened_beside(config: Config) -> Iterator[Intake]:
    """Open the intake of a running server."""
    store = open_store(config)
    opened = open_intake(config, store, InProcessHasher())
    assert opened is not None
    yield opened
    store.close()


def bank(intake: Intake, number: str, image: bytes) -> None:
    """Hand over a picture, and approve it."""
    with Arrival(intake, number) as arrival:
        arrival.write(image)
        arrival.finish()
    review.decide(intake, arrival.id, Decision("ana"))
