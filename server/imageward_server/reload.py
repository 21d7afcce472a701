"""What of a configuration is replaced while processes run, and what waits for the next start."""

from __future__ import annotations

from typing import Final

from imageward_server.config import Config, InvalidConfig

RELOADABLE: Final = ("credentials", "revoked", "caller_calls_per_s")


def reloaded(running: Config, fresh: Config) -> Config:
    """Return the running configuration with what may be replaced taken from a fresh one.

    Raises:
        InvalidConfig: it would open a server that was not open to everybody.
    """
    changed = running.model_copy(update={name: getattr(fresh, name) for name in RELOADABLE})
    if changed.is_open and not running.is_open:
        raise InvalidConfig(
            "no credential is left, which would let everybody do everything; "
            "start the server again if that is meant"
        )
    return changed


def waiting(running: Config, fresh: Config) -> list[str]:
    """Name the settings that differ and wait for the next start."""
    return [
        name
        for name in Config.model_fields
        # The running one knows which port it got.
        if name not in (*RELOADABLE, "listen") and getattr(running, name) != getattr(fresh, name)
    ]
