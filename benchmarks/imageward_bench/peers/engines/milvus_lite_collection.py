"""milvus-lite: BIN_FLAT, its exact index of binary vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient

Codes = NDArray[np.uint8]
NAME = "bench"
PER_INSERT = 5000
NEIGHBOURS = 100
START_S_MAX = 120


class Engine:
    """A collection with one binary vector; searched within a radius, which it excludes."""

    many = "one call with a batch"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        self._client = MilvusClient(str(folder / "milvus.db"), timeout=START_S_MAX)
        self._params = {"metric_type": "HAMMING", "params": {"radius": radius + 1}}

    def build(self, codes: Codes) -> None:
        """Make the collection and insert in portions."""
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("code", DataType.BINARY_VECTOR, dim=codes.shape[1] * 8)
        index = self._client.prepare_index_params()
        index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
        self._client.create_collection(NAME, schema=schema, index_params=index)
        for first in range(0, len(codes), PER_INSERT):
            rows = [
                {"id": first + row, "code": code.tobytes()}
                for row, code in enumerate(codes[first : first + PER_INSERT])
            ]
            self._client.insert(NAME, rows)

    def search(self, code: Codes) -> list[int]:
        """Search one."""
        return [hit["id"] for hit in self._search([code.tobytes()])[0]]

    def search_many(self, codes: Codes) -> None:
        """Search a batch."""
        self._search([code.tobytes() for code in codes])

    def add(self, number: int, code: Codes) -> None:
        """Insert one."""
        self._client.insert(NAME, [{"id": number, "code": code.tobytes()}])

    def close(self) -> None:
        """Close the client, and with it the server it started."""
        self._client.close()

    def _search(self, asked: list[bytes]) -> Any:  # noqa: ANN401 - its own nested lists
        return self._client.search(
            NAME, data=asked, anns_field="code", limit=NEIGHBOURS, search_params=self._params
        )
