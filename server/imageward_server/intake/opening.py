"""Opens the intake of a server's configuration, in whichever process needs it."""

from __future__ import annotations

import time
from collections.abc import Callable

from imageward_server.config import Config
from imageward_server.hasher import Hasher
from imageward_server.intake.intake import Intake
from imageward_server.intake.keys import load_master_key
from imageward_server.intake.quarantine import FOLDER, Quarantine
from imageward_server.intake.settings import load_settings
from imageward_server.store import Store


def open_intake(
    config: Config, store: Store, hasher: Hasher, clock: Callable[[], float] = time.time
) -> Intake | None:
    """Open the intake, or return None if none is configured.

    Raises:
        InvalidConfig: its file cannot be used.
        InvalidKey: there is no master key, or none that can be used.
    """
    if config.intake_config is None:
        return None
    settings = load_settings(config.intake_config)
    master_key = load_master_key(settings.master_key_file)
    quarantine = Quarantine(config.data_dir / FOLDER, master_key)
    intake = Intake(store, hasher, quarantine, settings, config.surfaces, master_key, clock)
    intake.prepare()
    return intake
