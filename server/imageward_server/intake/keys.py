"""The intake's master key.

It wraps a key for each case, which wraps a key for each of its pictures. A picture is gone
when one of the two wrapped keys is destroyed. What is wrapped names where it belongs, so a
key or a contact moved to another case does not open.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from imageward_server import key_file

MASTER_KEY_VARIABLE: Final = "IMAGEWARD_INTAKE_MASTER_KEY"


def load_master_key(file: Path | None) -> bytes:
    """Read the master key from a file, or from the environment if no file is named.

    Raises:
        InvalidKey: there is none, others may read it, or it is not 32 bytes.
    """
    return key_file.load_key(file, MASTER_KEY_VARIABLE, "imageward-server intake new-key")
