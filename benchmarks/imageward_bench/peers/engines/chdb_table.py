"""chdb, ClickHouse in a process: a scan of a FixedString(32) column, on all cores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from chdb.session import Session
from numpy.typing import NDArray

Codes = NDArray[np.uint8]


class Engine:
    """A MergeTree table; bits are counted by `bitHammingDistance`."""

    many = "one cross join of a batch"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        self._folder, self._radius = folder, radius
        self._session = Session(str(folder / "chdb"))
        self._session.query("CREATE DATABASE bench")
        self._session.query(
            "CREATE TABLE bench.b (id Int64, code FixedString(32)) ENGINE = MergeTree ORDER BY id"
        )

    def build(self, codes: Codes) -> None:
        """Insert from a file of rows."""
        self._insert("bench.b", codes, np.arange(len(codes)))
        self._session.query("OPTIMIZE TABLE bench.b FINAL")

    def search(self, code: Codes) -> list[int]:
        """Scan once."""
        asked = f"toFixedString(unhex('{code.tobytes().hex()}'), 32)"
        told = self._session.query(
            f"SELECT id FROM bench.b WHERE bitHammingDistance(code, {asked}) <= {self._radius}",  # noqa: S608 - hexadecimal digits
            "CSV",
        )
        return [int(line) for line in str(told).split()]

    def search_many(self, codes: Codes) -> None:
        """Join once."""
        asked = ", ".join(f"unhex('{code.tobytes().hex()}')" for code in codes)
        self._session.query(
            "SELECT q, id FROM bench.b ARRAY JOIN "  # noqa: S608 - hexadecimal digits
            f"arrayFilter(x -> bitHammingDistance(code, toFixedString(x, 32)) <= {self._radius}, "
            f"[{asked}]) AS q",
            "CSV",
        )

    def add(self, number: int, code: Codes) -> None:
        """Insert a row."""
        self._session.query(
            f"INSERT INTO bench.b VALUES ({number}, unhex('{code.tobytes().hex()}'))"  # noqa: S608 - hexadecimal digits
        )

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _insert(self, table: str, codes: Codes, ids: NDArray[np.int64]) -> None:
        rows = np.empty(len(codes), np.dtype([("id", "<i8"), ("code", "V32")]))
        rows["id"], rows["code"] = ids, np.ascontiguousarray(codes).view("V32")[:, 0]
        file = self._folder / "rows.bin"
        rows.tofile(file)
        columns = "'id Int64, code FixedString(32)'"
        self._session.query(
            f"INSERT INTO {table} SELECT * FROM file('{file}', 'RowBinary', {columns})"  # noqa: S608 - our own names
        )
        file.unlink()
