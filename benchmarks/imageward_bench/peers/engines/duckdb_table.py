"""duckdb: a scan of four columns of 64 bits, on all cores."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
WORDS = range(4)


class Engine:
    """A table in memory; bits are counted by `bit_count(xor(...))`."""

    many = "one join of a batch"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        del folder
        self._table = duckdb.connect()
        near = " + ".join(f"bit_count(xor(b.w{word}, q.w{word}))::INT" for word in WORDS)
        one = ", ".join(f"?::UBIGINT AS w{word}" for word in WORDS)
        self._one = f"SELECT b.id FROM b, (SELECT {one}) q WHERE {near} <= {radius}"  # noqa: S608 - our own names
        self._join = f"SELECT q.id, b.id FROM b, q WHERE {near} <= {radius}"  # noqa: S608 - our own names

    def build(self, codes: Codes) -> None:
        """Make the table from columns."""
        columns = _columns(codes, np.arange(len(codes)))
        self._table.register("columns", columns)
        self._table.execute("CREATE TABLE b AS SELECT * FROM columns")
        self._table.unregister("columns")

    def search(self, code: Codes) -> list[int]:
        """Scan once."""
        words = [int(word) for word in code.view("<u8")]
        return [row[0] for row in self._table.execute(self._one, words).fetchall()]

    def search_many(self, codes: Codes) -> None:
        """Join once."""
        self._table.register("q", _columns(codes, np.arange(len(codes))))
        self._table.execute(self._join).fetchall()

    def add(self, number: int, code: Codes) -> None:
        """Insert a row."""
        words = [int(word) for word in code.view("<u8")]
        self._table.execute("INSERT INTO b VALUES (?, ?, ?, ?, ?)", [number, *words])

    def close(self) -> None:
        """Close the database."""
        self._table.close()


def _columns(codes: Codes, ids: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    words = np.ascontiguousarray(codes).view("<u8")
    return {"id": ids} | {f"w{word}": words[:, word].copy() for word in WORDS}
