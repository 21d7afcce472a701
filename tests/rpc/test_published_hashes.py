"""The field's published needles and haystack, through the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageward_client import Client

# Pairs of a needle and a straw within so many bits, by the data's own account.
PAIRS = {16: 152, 31: 250, 63: 352}
BATCH = 1024


@pytest.fixture
def haystack(shared: Path, client: Client) -> int:
    """Bank the haystack as it is, repeated hashes included; return its length."""
    hashes = (shared / "hashes" / "haystack.txt").read_text().split()
    client.create_bank("haystack")
    for start in range(0, len(hashes), BATCH):
        client.add_entries("haystack", hashes=hashes[start : start + BATCH])
    return len(hashes)


def test_every_published_pair_is_found_and_no_other(
    shared: Path, client: Client, haystack: int
) -> None:
    """The counts within 16, 31 and 63 bits are the published ones."""
    needles = (shared / "hashes" / "needles.txt").read_text().split()
    assert client.get_stats().index_size == haystack
    found = {}
    for radius in PAIRS:
        client.update_bank("haystack", radius=radius)
        answer = client.check_hashes(needles)
        found[radius] = sum(len(result.entry_ids) for result in answer.results)
    assert found == PAIRS
