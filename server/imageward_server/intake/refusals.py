"""What a page says no to. Each has words in every language, under its key."""

from __future__ import annotations


class PageRefusal(Exception):
    """A person, partner or reviewer asked for what is not done.

    Attributes:
        key: names the words that say what happened and what to do.
        status: of HTTP.
        values: what the words have in them.
    """

    def __init__(self, key: str, status: int = 400, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.status = status
        self.values = values
