"""Pictures that come back as parts of others: from the shipped client to a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from imageward_client import (
    Client,
    Completeness,
    EntrySource,
    InvalidHash,
    InvalidRequest,
    Method,
    Verdict,
)
from imageward_index.fingerprint import FINGERPRINT_BYTES_MAX, Fingerprint
from imageward_index.sealer import SEAL_CODES
from imageward_server import replica
from imageward_server.app import Server
from imageward_server.config import Config

Photograph = Callable[[str], bytes]
BANKED = ("astronaut.png", "coffee.png", "chelsea.png")


@pytest.fixture
def crop(photograph: Photograph) -> bytes:
    """Return the middle quarter of a banked photograph."""
    return _crop(photograph("coffee.png"))


@pytest.fixture
def entry_ids(client: Client, photograph: Photograph) -> tuple[str, ...]:
    """Bank three photographs; return their ids."""
    return _bank(client, photograph)


def _bank(client: Client, photograph: Photograph) -> tuple[str, ...]:
    client.create_bank("bank")
    answer = client.add_entries("bank", images=[photograph(name) for name in BANKED])
    return tuple(result.entry_id or "" for result in answer.results)


def _patch(image: bytes) -> bytes:
    """Cover a ninth of an image."""
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    picture[: picture.shape[0] // 3, : picture.shape[1] // 3] = 128
    return cv2.imencode(".jpg", picture)[1].tobytes()


def _crop(image: bytes, *, mirrored: bool = False) -> bytes:
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    rows, columns = picture.shape[:2]
    part = picture[rows // 4 : -rows // 4, columns // 4 : -columns // 4]
    encoded = cv2.imencode(".jpg", part[:, ::-1] if mirrored else part)[1]
    return encoded.tobytes()


def test_a_crop_is_blocked_as_its_picture(
    client: Client, entry_ids: tuple[str, ...], photograph: Photograph
) -> None:
    """A quarter of each banked photograph, mirrored or not, is blocked under its entry."""
    for name, entry_id in zip(BANKED, entry_ids, strict=True):
        for mirrored in (False, True):
            answer = client.check_image(_crop(photograph(name), mirrored=mirrored))
            assert (answer.verdict, answer.entry_ids) == (Verdict.BLOCK, (entry_id,))
            assert answer.completeness is Completeness.COMPLETE


@pytest.mark.usefixtures("entry_ids")
def test_another_picture_is_looked_at_in_full(client: Client, photograph: Photograph) -> None:
    """What is allowed was looked at by every pass; what is sent as a hash, only as one."""
    answer = client.check_image(photograph("brick.png"))
    assert (answer.verdict, answer.completeness) == (Verdict.ALLOW, Completeness.COMPLETE)
    (result,) = client.check_hashes([bytes(range(32))]).results
    assert (result.verdict, result.completeness) == (Verdict.ALLOW, Completeness.HASH_ONLY)


def test_withdrawn_and_restored_parts(
    client: Client, entry_ids: tuple[str, ...], crop: bytes
) -> None:
    """A crop is allowed from a withdrawal on, and blocked from a restoration on."""
    client.withdraw_entries([entry_ids[1]])
    assert client.check_image(crop).verdict is Verdict.ALLOW
    client.restore_entries([entry_ids[1]])
    assert client.check_image(crop).verdict is Verdict.BLOCK


def test_a_policy_weighs_parts(client: Client, entry_ids: tuple[str, ...], crop: bytes) -> None:
    """A bank may ask for more coverage, and have a person look at what is below."""
    patched = _patch(crop)
    bank = client.update_bank("bank", coverage_min=1.0)
    assert (bank.coverage_min, bank.review_doubtful) == (1.0, False)
    assert client.check_image(patched).verdict is Verdict.ALLOW
    bank = client.update_bank("bank", review_doubtful=True)
    assert (bank.coverage_min, bank.review_doubtful) == (1.0, True)
    answer = client.check_image(patched)
    assert (answer.verdict, answer.entry_ids) == (Verdict.REVIEW, (entry_ids[1],))
    with pytest.raises(InvalidRequest, match="coverage_min"):
        client.update_bank("bank", coverage_min=1.5)


def test_a_reviewer_sees_where_a_part_lies(
    client: Client, entry_ids: tuple[str, ...], crop: bytes
) -> None:
    """The answer says by what, how much, and where the one picture lies in the other."""
    answer = client.find_matches(image=crop)
    (match,) = answer.matches
    assert (match.entry_id, match.bank, match.method) == (entry_ids[1], "bank", Method.PARTS)
    assert match.certain
    assert match.distance_bits is None
    assert match.orientation is None
    assert match.coverage is not None
    assert 0.7 < match.coverage <= 1.0
    assert match.inliers > 4
    places = [(point.x, point.y) for point in match.corners_in_entry]
    expected = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    assert np.allclose(places, expected, atol=0.02)
    assert answer.completeness is Completeness.COMPLETE


def test_a_fingerprint_goes_from_server_to_server(
    client: Client, entry_ids: tuple[str, ...], crop: bytes
) -> None:
    """What one server tells of an entry banks it on another, parts and all."""
    data = client.get_fingerprint(entry_ids[1])
    assert len(data) <= FINGERPRINT_BYTES_MAX
    record = client.get_entry(entry_ids[1])
    assert record.regional_code_count == len(Fingerprint.from_bytes(data).codes) > 100
    client.withdraw_entries([entry_ids[1]])
    client.create_bank("elsewhere")
    (result,) = client.add_entries("elsewhere", fingerprints=[data]).results
    answer = client.check_image(crop)
    assert (answer.verdict, answer.entry_ids) == (Verdict.BLOCK, (result.entry_id,))
    assert client.get_entry(result.entry_id or "").source is EntrySource.HASH
    (torn,) = client.add_entries("elsewhere", fingerprints=[data[:-1]]).results
    assert isinstance(torn.refusal, InvalidHash)


def test_a_hash_alone_is_found_as_a_whole_only(
    client: Client, photograph: Photograph, crop: bytes
) -> None:
    """An entry of an exchanged list matches whole pictures, and says that it has no parts."""
    entry_ids = _bank(client, photograph)
    pdq = client.get_entry(entry_ids[1]).hash
    client.withdraw_entries(entry_ids)
    (result,) = client.add_entries("bank", hashes=[pdq]).results
    assert client.check_image(photograph("coffee.png")).entry_ids == (result.entry_id,)
    assert client.check_image(crop).verdict is Verdict.ALLOW
    assert client.get_entry(result.entry_id or "").regional_code_count == 0
    assert Fingerprint.from_bytes(client.get_fingerprint(result.entry_id or "")).regional is None


@pytest.fixture
def serve(config: Config) -> Iterator[Callable[[], Server]]:
    """Return a starter of servers on one data folder, one after the other."""
    running: list[Server] = []

    def start() -> Server:
        for server in running:
            server.stop()
        running[:] = [Server(config)]
        running[0].start(lambda *_progress: None)
        return running[0]

    yield start
    for server in running:
        server.stop()


def _connected(server: Server) -> Client:
    return Client(f"127.0.0.1:{server.port}", timeout_s=20)


def test_parts_survive_restarts(
    serve: Callable[[], Server],
    config: Config,
    photograph: Photograph,
    crop: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the store, from a sealed segment, and from one with what came after it."""
    monkeypatch.setitem(SEAL_CODES, 64, 400)
    # Only at a start: between withdrawal and restoration the segment is empty for a moment,
    # and a sealer that looks then removes it.
    monkeypatch.setattr(replica, "SEALER_PERIOD_S", 3600.0)
    with _connected(serve()) as client:
        entry_ids = _bank(client, photograph)
    server = serve()
    with _connected(server) as client:
        assert client.check_image(crop).entry_ids == (entry_ids[1],)
        # More than a tail takes came from the store, so it was sealed at the start.
        assert len(server._replica.codes.view.segments) == 1
        client.withdraw_entries(entry_ids)
        client.restore_entries([entry_ids[1]])
    with _connected(serve()) as client:
        assert client.check_image(crop).entry_ids == (entry_ids[1],)
        assert client.get_stats().regional_code_count > 100
        assert client.check_image(_crop(photograph("chelsea.png"))).verdict is Verdict.ALLOW
        serve().stop()
    command = [sys.executable, "-m", "imageward_server", "segments", "list", "--json"]
    listed = subprocess.run(
        [*command, "--data-dir", str(config.data_dir)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [row["folder"] for row in json.loads(listed.stdout)] == ["code-segments"]
