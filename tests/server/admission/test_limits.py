"""What is counted: calls in the house, what each caller holds, how many it makes a second."""

from __future__ import annotations

import threading
import time

import pytest

from imageward_server.admission import Admission, Call, Priority, Quota, Rates
from imageward_server.admission.door import Door
from imageward_server.admission.rates import CALLERS_REMEMBERED_MAX
from imageward_server.admission.watchdog import Watchdog, Watched
from imageward_server.calls.caller import caller_of
from imageward_server.calls.inline import InlineExecutor
from imageward_server.calls.kinds import ADDED_ENTRIES_MAX, CHECK_HASHES_MAX, kind_of
from imageward_server.errors import Overloaded, RateLimited

URGENT, CHECK, BULK = Priority.URGENT, Priority.CHECK, Priority.BULK
MATCH, BANK = "/imageward.v1.MatchService/", "/imageward.v1.BankService/"


def a_call(caller: str = "one", priority: Priority = CHECK) -> Call:
    """Make a call."""
    return Call("M", caller, priority, time.monotonic() + 20)


def test_the_door_keeps_room_for_the_urgent() -> None:
    """Bulk fills half of the house, checks nine tenths, the urgent all of it."""
    door = Door(10)
    entered = {
        priority: sum(door.enter(priority) for _ in range(20)) for priority in (BULK, CHECK, URGENT)
    }
    assert entered == {BULK: 5, CHECK: 4, URGENT: 1}
    door.leave()
    assert [door.enter(priority) for priority in (BULK, CHECK, URGENT)] == [False, False, True]


def test_a_caller_holds_at_most_its_share() -> None:
    """Half for its checks, three quarters with what is urgent; others have the rest."""
    quota = Quota("calls", 8, Overloaded)
    for _ in range(4):
        quota.claim(a_call())
    with pytest.raises(Overloaded) as refused:
        quota.claim(a_call())
    assert refused.value.metadata == {"held": "5", "held_max": "4"}
    quota.claim(a_call(priority=URGENT))
    quota.claim(a_call("two"))
    quota.release(a_call("two"))
    for _ in range(2):
        quota.release(a_call())
    quota.claim(a_call())


def test_all_callers_together_hold_at_most_the_whole() -> None:
    """Shares do not add up to more than there is."""
    quota = Quota("bytes", 100, Overloaded)
    for caller in ("one", "two"):
        quota.claim(a_call(caller), 50)
    with pytest.raises(Overloaded, match="the server holds 101 bytes"):
        quota.claim(a_call("three"), 1)


def test_a_bucket_fills_with_time() -> None:
    """A caller makes its burst at once and then one call for each token that drips in."""
    rates, begun = Rates(0.5), time.monotonic()
    rates.take("one")
    with pytest.raises(RateLimited) as refused:
        rates.take("one")
    rates.take("two")
    assert 2 - (time.monotonic() - begun) <= refused.value.retry_after_s <= 2
    calls, counted = rates._buckets["one"]
    rates._buckets["one"] = (calls, counted - 2.0)
    rates.take("one")


def test_no_rate_is_no_limit() -> None:
    """Zero means that nothing is counted."""
    rates = Rates(0.0)
    for _ in range(10_000):
        rates.take("one")


def test_the_buckets_are_bounded() -> None:
    """Callers seen long ago are forgotten."""
    rates = Rates(1.0)
    for number in range(CALLERS_REMEMBERED_MAX + 10):
        rates.take(str(number))
    assert len(rates._buckets) == CALLERS_REMEMBERED_MAX


def test_the_watchdog_ends_what_expires_and_nothing_else() -> None:
    """Once, and not what was prolonged or taken out."""
    watchdog = Watchdog()
    ended: list[str] = []
    done = threading.Event()
    for name in ("prolonged", "removed", "expired"):
        watched = Watched(lambda name=name: ended.append(name), 0.0)  # type: ignore[misc]
        if name == "prolonged":
            watched.prolong(20.0)
        watchdog.add(watched)
        if name == "removed":
            watchdog.remove(watched)
    watchdog.add(Watched(done.set, 0.0))
    assert done.wait(20)
    watchdog.close()
    assert ended == ["expired"]


def test_a_visit_leaves_when_its_handler_and_its_answer_are_done() -> None:
    """The place in the house is free after both, in either order."""
    admission = Admission(
        calls_max=1, places=1, streams_max=1, held_bytes_max=100, caller_calls_per_s=0.0
    )
    house = admission.calls
    assert house.door.enter(CHECK)
    visit = admission.visit(house, a_call(), lambda: None)
    with visit:
        visit.admit(rated=True, computes=True)
        visit.received(50)
        with pytest.raises(Overloaded):
            admission.held_bytes.claim(a_call(), 1)
    admission.held_bytes.claim(a_call(), 50)
    assert not house.door.enter(CHECK)
    visit.end()
    assert house.door.enter(CHECK)
    house.quota.claim(a_call())
    admission.close()


def test_the_inline_executor_runs_at_once_and_keeps_what_is_raised() -> None:
    """In the thread that submits."""
    executor = InlineExecutor()
    assert executor.submit(threading.get_ident).result() == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        executor.submit(divmod, 1, 0).result()


class Peer:
    """A context that knows its peer alone."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def peer(self) -> str:
        """Say who calls, as gRPC writes it."""
        return self._peer


@pytest.mark.parametrize(
    ("peer", "caller"),
    [
        ("ipv4:192.0.2.1:5000", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:5000", "%5B2001:db8::1%5D"),
        ("unix:", "unknown"),
    ],
)
def test_a_caller_is_its_address(peer: str, caller: str) -> None:
    """Its connections, which differ by port, are one caller."""
    assert caller_of(Peer(peer)) == caller  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "priority", "computes", "is_ours"),
    [
        (MATCH + "CheckImage", CHECK, True, True),
        (MATCH + "CheckHashes", CHECK, True, True),
        (MATCH + "CheckStream", CHECK, False, True),
        (BANK + "AddEntries", BULK, True, True),
        (BANK + "FindMatches", URGENT, True, True),
        (BANK + "WithdrawEntries", URGENT, False, True),
        ("/grpc.health.v1.Health/Check", URGENT, False, False),
    ],
)
def test_kinds(method: str, priority: Priority, *, computes: bool, is_ours: bool) -> None:
    """How each method is admitted."""
    kind = kind_of(method)
    assert (kind.priority, kind.computes, kind.is_ours) == (priority, computes, is_ours)


def test_large_batches_are_bulk_and_small_additions_urgent() -> None:
    """By the number of hashes or entries."""
    from imageward.v1 import bank_pb2, hash_pb2, match_pb2

    check, add = kind_of(MATCH + "CheckHashes").refine, kind_of(BANK + "AddEntries").refine
    assert check is not None
    assert add is not None
    found = [
        check(match_pb2.CheckHashesRequest(hashes=[hash_pb2.PdqHash()] * count))
        for count in (CHECK_HASHES_MAX, CHECK_HASHES_MAX + 1)
    ]
    found += [
        add(bank_pb2.AddEntriesRequest(entries=[bank_pb2.NewEntry()] * count))
        for count in (ADDED_ENTRIES_MAX, ADDED_ENTRIES_MAX + 1)
    ]
    assert found == [CHECK, BULK, URGENT, BULK]
