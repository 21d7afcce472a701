"""Another master key for the intake: what the old one wraps is wrapped anew."""

from __future__ import annotations

from pathlib import Path

from imageward_server import key_file
from imageward_server.app import open_store
from imageward_server.audit.row import Actor
from imageward_server.config import Config, InvalidConfig
from imageward_server.intake import cases
from imageward_server.intake.intake import CONTACT_KEY
from imageward_server.intake.keys import MASTER_KEY_VARIABLE, load_master_key
from imageward_server.intake.quarantine import FOLDER, Quarantine
from imageward_server.intake.settings import load_settings


def rotate(config: Config, new_key_file: Path, by: Actor) -> tuple[int, int]:
    """Wrap every case's key and encrypt every address with the new key.

    Nothing else may use the data folder meanwhile. Done again, it goes on where it was.

    Args:
        config: names the store and the intake with its old key.
        new_key_file: file of the new key.
        by: who does it, for the audit.

    Returns:
        How many keys and how many addresses were not under the new key yet.

    Raises:
        InvalidConfig: there is no intake, or one of the keys cannot be used.
        ImagewardError: the store cannot be used, or something opens with neither key.
    """
    if config.intake_config is None:
        raise InvalidConfig("there is no intake; set intake_config")
    old = load_master_key(load_settings(config.intake_config).master_key_file)
    new = key_file.load_key(new_key_file, MASTER_KEY_VARIABLE, "imageward-server intake new-key")
    store = open_store(config)
    try:
        with store.changing() as head:
            head.audit(by, "rotate intake key")
            keys = (key_file.derive(old, CONTACT_KEY), key_file.derive(new, CONTACT_KEY))
            contacts = cases.rewrap_contacts(head, *keys)
        return Quarantine(config.data_dir / FOLDER, old).rewrap(new), contacts
    finally:
        store.close()
