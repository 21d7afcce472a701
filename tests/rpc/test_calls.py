"""Every call of the contract once, from the shipped client to a real server."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from imageward.v1 import bank_pb2, match_pb2
from imageward_client import (
    Action,
    AsyncClient,
    BankNotFound,
    Client,
    EntryNotFound,
    EntrySource,
    EntryState,
    HashQuery,
    ImageQuery,
    LowQuality,
    Orientation,
    PdqHash,
    RequestIdReused,
    UnsupportedFormat,
    Verdict,
)
from imageward_server.app import Server

METHODS = {
    method.name
    for file in (match_pb2, bank_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def test_every_call_of_the_contract_is_called_here() -> None:
    """Each call has a test in this file that bears its name."""
    tested = {name.removeprefix("test_").partition("__")[0] for name in globals()}
    called = {name for name in METHODS if _snake(name) in tested}
    assert called == METHODS


def test_check_image__banked(client: Client, banked: str, astronaut: bytes) -> None:
    """A banked picture is blocked, with its entry, its quality and the revision."""
    answer = client.check_image(astronaut)
    assert answer.verdict is Verdict.BLOCK
    assert answer.entry_ids == (banked,)
    assert answer.logged_entry_ids == ()
    assert answer.quality == 100
    assert not answer.low_quality
    assert answer.revision == client.get_stats().revision


def test_check_image__unrelated(
    client: Client, banked: str, photograph: Callable[[str], bytes]
) -> None:
    """Another picture is allowed."""
    assert banked
    answer = client.check_image(photograph("rocket.jpg"))
    assert (answer.verdict, answer.entry_ids) == (Verdict.ALLOW, ())


def test_check_image__without_detail(client: Client, banked: str) -> None:
    """A blank picture is neither allowed nor blocked, and the answer says why."""
    assert banked
    blank = b"BM" + (58).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    blank += (40).to_bytes(4, "little") + b"\1\0\0\0" * 2 + b"\1\0\x18\0" + bytes(24) + b"\x80" * 4
    answer = client.check_image(blank)
    assert answer.verdict is Verdict.INCONCLUSIVE
    assert answer.low_quality
    assert answer.quality == 0


def test_check_image__surfaces_and_banks(client: Client, astronaut: bytes) -> None:
    """Only the banks that are named, enabled and for the surface are asked."""
    client.create_bank("insta", surfaces=["INSTAGRAM"])
    client.create_bank("review", action=Action.REVIEW)
    insta, review = (
        client.add_entries(bank, images=[astronaut]).results[0].entry_id
        for bank in ("insta", "review")
    )
    asked = {
        "nowhere": client.check_image(astronaut),
        "instagram": client.check_image(astronaut, surface="INSTAGRAM"),
        "facebook": client.check_image(astronaut, surface="FACEBOOK"),
        "named": client.check_image(astronaut, banks=["review"]),
    }
    client.update_bank("review", enabled=False)
    asked["disabled"] = client.check_image(astronaut, surface="FACEBOOK")
    said = {name: (answer.verdict, answer.entry_ids) for name, answer in asked.items()}
    assert said == {
        "nowhere": (Verdict.BLOCK, (insta,)),
        "instagram": (Verdict.BLOCK, (insta,)),
        "facebook": (Verdict.REVIEW, (review,)),
        "named": (Verdict.REVIEW, (review,)),
        "disabled": (Verdict.ALLOW, ()),
    }


def test_check_hashes(client: Client, banked: str) -> None:
    """Each hash of a batch has its own answer, in order, at one revision."""
    pdq = client.get_entry(banked).hash
    near = _flip(pdq.value, 31)
    far = _flip(pdq.value, 32)
    answer = client.check_hashes([pdq.hex, near, far, PdqHash(far, quality=20)])
    assert [result.verdict for result in answer.results] == [
        Verdict.BLOCK,
        Verdict.BLOCK,
        Verdict.ALLOW,
        Verdict.INCONCLUSIVE,
    ]
    assert [result.quality for result in answer.results] == [None, None, None, 20]
    assert answer.revision == client.get_stats().revision


def test_check_hashes__full_batch(client: Client, banked: str) -> None:
    """A batch of 1,024 is answered whole."""
    pdq = client.get_entry(banked).hash.value
    answer = client.check_hashes([_flip(pdq, number % 64) for number in range(1024)])
    blocked = [result.verdict is Verdict.BLOCK for result in answer.results]
    assert blocked == [number % 64 <= 31 for number in range(1024)]


def test_check_stream(client: Client, banked: str, astronaut: bytes) -> None:
    """A stream answers in order, and a bad question does not end it."""
    pdq = client.get_entry(banked).hash
    questions = [ImageQuery(astronaut), ImageQuery(b"no image"), HashQuery(pdq.hex)]
    answers = list(client.check_stream(questions))
    assert [answer.sequence for answer in answers] == [0, 1, 2]
    assert isinstance(answers[1].refusal, UnsupportedFormat)
    for answered in (answers[0], answers[2]):
        assert answered.result is not None
        assert answered.result.entry_ids == (banked,)


def test_create_bank(client: Client) -> None:
    """A bank is made with its policy, or with the defaults of the contract."""
    plain = client.create_bank("plain")
    assert (plain.action, plain.radius_bits, plain.surfaces, plain.enabled) == (
        Action.BLOCK,
        31,
        (),
        True,
    )
    other = client.create_bank(
        "other", action=Action.LOG, radius=0, surfaces=["FACEBOOK"], enabled=False
    )
    assert (other.action, other.radius_bits, other.surfaces, other.enabled) == (
        Action.LOG,
        0,
        ("FACEBOOK",),
        False,
    )


def test_get_bank(client: Client) -> None:
    """A bank reads as it was made; one that is not there is an error of its own."""
    made = client.create_bank("bank")
    assert client.get_bank("bank") == made
    with pytest.raises(BankNotFound):
        client.get_bank("none")


def test_list_banks(client: Client) -> None:
    """All banks are listed by name, however many pages that takes."""
    names = [f"bank_{number:03d}" for number in range(105)]
    for name in reversed(names):
        client.create_bank(name)
    assert [bank.name for bank in client.list_banks()] == names


def test_update_bank(client: Client) -> None:
    """What is named changes, what is not stays."""
    made = client.create_bank("bank", surfaces=["FACEBOOK"])
    changed = client.update_bank("bank", radius=7, surfaces=[])
    assert (changed.radius_bits, changed.surfaces) == (7, ())
    assert (changed.action, changed.enabled) == (made.action, made.enabled)
    assert changed.revision > made.revision


def test_update_bank__radius_at_once(client: Client, banked: str) -> None:
    """A new radius holds for the next check."""
    near = _flip(client.get_entry(banked).hash.value, 20)
    assert client.check_hashes([near]).results[0].verdict is Verdict.BLOCK
    client.update_bank("bank", radius=19)
    assert client.check_hashes([near]).results[0].verdict is Verdict.ALLOW


def test_add_entries(client: Client, photograph: Callable[[str], bytes]) -> None:
    """Each picture of a batch is banked or refused on its own, in order."""
    client.create_bank("bank")
    blank = photograph("chessboard_GRAY.png")[:8]
    answer = client.add_entries("bank", images=[photograph("rocket.jpg"), blank])
    banked, refused = answer.results
    assert banked.entry_id is not None
    assert banked.quality == 100
    assert refused.entry_id is None
    assert refused.refusal is not None
    assert client.get_stats().index_size == 1


def test_add_entries__hashes(client: Client) -> None:
    """A repeated hash is a second entry, and a low quality is refused with its reason."""
    client.create_bank("bank")
    good, bad = PdqHash(bytes(32)), PdqHash(bytes(32), quality=49)
    answer = client.add_entries("bank", hashes=[good, good, bad], references=["a", "b", "c"])
    first, second, refused = answer.results
    assert first.entry_id != second.entry_id
    assert isinstance(refused.refusal, LowQuality)
    assert refused.quality == 49
    entries = list(client.list_entries("bank"))
    assert [entry.reference for entry in entries] == ["a", "b"]
    assert [entry.source for entry in entries] == [EntrySource.HASH] * 2


def test_add_entries__replayed(client: Client) -> None:
    """The same request id and contents bank nothing again; other contents are refused."""
    client.create_bank("bank")
    first = client.add_entries("bank", hashes=[bytes(32)], request_id="one")
    again = client.add_entries("bank", hashes=[bytes(32)], request_id="one")
    assert again == dataclasses.replace(first, replayed=True)
    with pytest.raises(RequestIdReused):
        client.add_entries("bank", hashes=[b"\1" * 32], request_id="one")
    assert client.get_stats().index_size == 1


def test_withdraw_entries(client: Client, banked: str, astronaut: bytes) -> None:
    """A withdrawn entry is allowed at once, and withdrawing it again changes nothing."""
    first = client.withdraw_entries([banked])
    assert first.changed_count == 1
    answer = client.check_image(astronaut)
    assert (answer.verdict, answer.revision) == (Verdict.ALLOW, first.revision)
    again = client.withdraw_entries([banked])
    assert (again.changed_count, again.revision) == (0, first.revision)


def test_withdraw_entries__all_or_none(client: Client, banked: str, astronaut: bytes) -> None:
    """One unknown id keeps the others from being withdrawn."""
    with pytest.raises(EntryNotFound):
        client.withdraw_entries([banked, "000080000000ffff"])
    assert client.check_image(astronaut).verdict is Verdict.BLOCK


def test_restore_entries(client: Client, banked: str, astronaut: bytes) -> None:
    """A restored entry is blocked again at once."""
    client.withdraw_entries([banked])
    restored = client.restore_entries([banked])
    assert restored.changed_count == 1
    answer = client.check_image(astronaut)
    assert (answer.verdict, answer.entry_ids) == (Verdict.BLOCK, (banked,))


def test_get_entry(client: Client, banked: str) -> None:
    """A reviewer sees an entry's state, source, hash and quality."""
    entry = client.get_entry(banked)
    assert (entry.id, entry.bank, entry.state) == (banked, "bank", EntryState.ACTIVE)
    assert (entry.source, entry.hash.quality) == (EntrySource.IMAGE, 100)


def test_list_entries(client: Client) -> None:
    """Entries are listed in the order they were banked, filtered, page by page."""
    client.create_bank("other")
    client.create_bank("bank")
    client.add_entries("other", hashes=[bytes(32)])
    added = client.add_entries("bank", hashes=[bytes([n] * 32) for n in range(250)])
    ids = [result.entry_id for result in added.results]
    client.withdraw_entries([ids[3], ids[200]])
    assert [entry.id for entry in client.list_entries("bank")] == ids
    withdrawn = client.list_entries("bank", state=EntryState.WITHDRAWN)
    assert [entry.id for entry in withdrawn] == [ids[3], ids[200]]
    assert len(list(client.list_entries())) == 251


def test_find_matches(client: Client, banked: str, astronaut: bytes) -> None:
    """A reviewer sees the distance and how the picture was turned."""
    found = client.find_matches(image=astronaut)
    (match,) = found.matches
    assert (match.entry_id, match.bank) == (banked, "bank")
    assert (match.distance_bits, match.orientation) == (0, Orientation.IDENTITY)
    far = _flip(client.get_entry(banked).hash.value, 63)
    assert client.find_matches(hash=far).matches == ()
    assert client.find_matches(hash=far, radius=63).matches[0].distance_bits == 63


def test_get_stats(client: Client, banked: str) -> None:
    """The counts follow every change."""
    client.add_entries("bank", hashes=[bytes(32)])
    client.withdraw_entries([banked])
    stats = client.get_stats()
    assert stats.index_size == 1
    assert stats.revision == stats.store_revision == 4
    (counts,) = stats.banks
    assert (counts.active_count, counts.withdrawn_count) == (1, 1)


def test_asyncio_client_speaks_to_the_same_server(server: Server, astronaut: bytes) -> None:
    """The awaiting client banks, checks and streams as the blocking one does."""

    async def story() -> None:
        async with AsyncClient(f"127.0.0.1:{server.port}", timeout_s=20) as client:
            await client.create_bank("bank")
            added = await client.add_entries("bank", images=[astronaut])
            answer = await client.check_image(astronaut)
            assert answer.entry_ids == (added.results[0].entry_id,)
            streamed = [one async for one in client.check_stream([ImageQuery(astronaut)])]
            assert streamed[0].result is not None
            assert streamed[0].result.verdict is Verdict.BLOCK
            assert [bank.name async for bank in client.list_banks()] == ["bank"]

    asyncio.run(story())


def _flip(code: bytes, bits: int) -> bytes:
    """Turn over the first so many bits of a hash."""
    mask = ((1 << bits) - 1) << (256 - bits)
    return (int.from_bytes(code) ^ mask).to_bytes(32)


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
