"""What persons are told, in every language: one TOML file each, with the same keys.

Plain words, nothing of what a picture shows, and always what to do next.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Final

LANGUAGES: Final = ("en", "fr")


@cache
def catalogue(language: str) -> dict[str, str]:
    """Return the words of a language by key."""
    words: dict[str, str] = tomllib.loads(
        (Path(__file__).parent / f"{language}.toml").read_text("utf-8")
    )
    return words


def say(language: str, key: str, **values: object) -> str:
    """Return a text of a language, with its values filled in."""
    return catalogue(language)[key].format(**values)
