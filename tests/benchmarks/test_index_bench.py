"""The index benchmark: every engine runs, complete ones are complete, the record is whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imageward_bench.index_bench import index, recall_of
from imageward_bench.index_data import KINDS, make_codes, make_queries
from imageward_bench.index_rows import Row

COMPLETE = {"imageward", "FAISS flat", "FAISS multi-hash", "usearch exact"}
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the benchmark on few codes; return the folder of what it wrote."""
    folder = tmp_path_factory.mktemp("bench")
    index(n="3e3,6e3", queries=20, seed=5, json_file=folder / "rows.json", plots=folder / "plots")
    return folder


def test_every_engine_has_rows(record: Path) -> None:
    """Each engine is measured at each size, under each of its settings."""
    rows = [Row(**row) for row in json.loads((record / "rows.json").read_text())["rows"]]
    names = {row.engine for row in rows}
    assert len(names) == 10
    assert {(name, n) for name in names for n in (3000, 6000)} == {(r.engine, r.n) for r in rows}
    assert all(min(row.median_us, row.batch_qps, row.p99_us) > 0 for row in rows)


def test_exact_engines_miss_nothing(record: Path) -> None:
    """The recall of an exhaustive engine is 1; of no engine more."""
    rows = [Row(**row) for row in json.loads((record / "rows.json").read_text())["rows"]]
    assert {1.0} == {row.recall for row in rows if row.engine in COMPLETE}
    assert max(row.recall for row in rows) == 1.0


def test_the_record_says_where_it_was_made(record: Path) -> None:
    """A record tells seed, command, processor and versions."""
    told = json.loads((record / "rows.json").read_text())
    assert told["seed"] == 5
    assert told["machine"]["command"]
    assert {"cpu", "cpu_flags", "cores", "versions", "load_1min"} <= set(told["machine"])


def test_pictures_are_drawn(record: Path) -> None:
    """Both pictures are PNG files of some size."""
    pictures = sorted((record / "plots").iterdir())
    assert [path.name for path in pictures] == ["index_latency.png", "index_quality.png"]
    assert all(path.read_bytes().startswith(PNG) for path in pictures)


def test_recall_counts_ten_a_query() -> None:
    """Recall is what was found of what is there, at most ten of a query."""
    one, three, twenty = (np.zeros(count, np.int64) for count in (1, 3, 20))
    assert recall_of([three], [three]) == 1.0
    assert recall_of([one], [three]) == pytest.approx(1 / 3)
    assert recall_of([twenty, one], [twenty, three]) == pytest.approx(11 / 13)
    assert recall_of([three], [three[:0]]) == 0.0


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("kind", KINDS)
def test_data_is_the_same_for_a_seed(kind: str) -> None:
    """Codes and queries depend on the seed alone, and every other query is near a code."""
    made = []
    for _ in range(2):
        rng = np.random.default_rng(9)
        codes = make_codes(kind, 500, 256, rng)
        made.append((codes, make_queries(codes, 10, 31, rng)))
    (codes, queries), (again, queries_again) = made
    assert codes.tolist() == again.tolist()
    assert queries.tolist() == queries_again.tolist()
    distances = np.bitwise_count(queries[::2, None] ^ codes[None]).sum(2)
    assert distances.min(1).max() <= 31
