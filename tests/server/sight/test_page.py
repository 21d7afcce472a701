"""Pages and the ledger: what is counted is read, added up once, and outlives its process."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from imageward_server.sight import catalogue
from imageward_server.sight.ledger import Ledger, Totals, WorkerPage, open_file, read_file
from imageward_server.sight.page import PAGE_BYTES, Page, PageUnreadable, Sample, Series, read_page

SERIES = [
    Series(catalogue.RETIREMENTS, [("worn",), ("crashed",)]),
    Series(catalogue.HANDLING, [("unary", "service", "method")]),
    Series(catalogue.REVISION, [("1",)]),
]


def _memory() -> mmap.mmap:
    return mmap.mmap(-1, PAGE_BYTES)


def _worn(samples: Iterable[Sample] | Totals) -> float:
    """Read the first counter of the series above."""
    if isinstance(samples, Totals):
        return samples.numbers[catalogue.RETIREMENTS.name]["worn",][0]
    (found,) = (one.numbers[0] for one in samples if one.values == ("worn",))
    return found


def test_what_is_written_is_read() -> None:
    """Counters begin at 0, a histogram has its classes and the sum, a gauge waits to be set."""
    memory = _memory()
    page = Page(memory, SERIES)
    page.add(page.place(catalogue.RETIREMENTS, "crashed"), 2)
    assert [one.numbers for one in read_page(memory)] == [
        (0.0,),
        (2.0,),
        (0.0,) * (len(catalogue.HANDLING_BUCKETS) + 2),
    ]
    page.put(page.place(catalogue.REVISION, "1"), 7)
    assert list(read_page(memory))[-1] == Sample(catalogue.REVISION, ("1",), (7.0,))


def test_a_page_that_is_not_whole_is_not_read() -> None:
    """Neither one that nobody has written, nor one whose description is torn."""
    memory = _memory()
    with pytest.raises(PageUnreadable):
        list(read_page(memory))
    Page(memory, SERIES)
    memory[20:24] = b"\0\0\0\0"
    with pytest.raises(PageUnreadable):
        list(read_page(memory))


def test_no_count_of_many_threads_is_lost() -> None:
    """Eight threads add 5,000 each."""
    page = Page(_memory(), SERIES)
    place = page.place(catalogue.RETIREMENTS, "worn")
    threads = [
        threading.Thread(target=lambda: [page.add(place) for _ in range(5000)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert page.numbers[place] == 40_000


def test_what_does_not_fit_is_refused() -> None:
    """A page says so when it is made, and not when it is counted."""
    many = [(str(number),) for number in range(PAGE_BYTES // 8)]
    with pytest.raises(ValueError, match="do not fit"):
        Page(_memory(), [Series(catalogue.RETIREMENTS, many)])


def _counted(ledger: Ledger, worn: int, revision: int) -> WorkerPage:
    """Open a worker's page and count into it, as the worker would."""
    shared = ledger.open()
    page = Page(shared.memory, SERIES)
    page.add(page.place(catalogue.RETIREMENTS, "worn"), worn)
    page.put(page.place(catalogue.REVISION, "1"), revision)
    del page
    shared.handed_over()
    return shared


def test_a_worker_that_ended_leaves_its_counters_and_nothing_else() -> None:
    """The sum is the same before and after, and its gauge is gone."""
    ledger = Ledger()
    first, second = _counted(ledger, 3, 7), _counted(ledger, 4, 8)
    assert _worn(ledger.totals()) == 7
    # Of two workers in one place, the later is shown.
    assert ledger.totals().numbers[catalogue.REVISION.name] == {("1",): (8.0,)}
    ledger.close(second)
    assert _worn(ledger.totals()) == 7
    assert ledger.totals().numbers[catalogue.REVISION.name] == {("1",): (7.0,)}
    ledger.close(first)
    assert _worn(ledger.totals()) == 7
    assert catalogue.REVISION.name not in ledger.totals().numbers


def test_a_worker_that_ended_leaves_no_descriptor() -> None:
    """However often workers are replaced, the supervisor holds no more files."""
    ledger = Ledger()
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(10):
        ledger.close(_counted(ledger, 1, 1))
    assert len(list(descriptors.iterdir())) == before
    assert _worn(ledger.totals()) == 10


def test_a_worker_that_spoilt_its_page_ends_nothing() -> None:
    """Its counts are lost, those of the others are not."""
    ledger = Ledger()
    spoilt, _ = _counted(ledger, 3, 7), _counted(ledger, 4, 8)
    spoilt.memory[:4] = b"\0\0\0\0"
    ledger.close(spoilt)
    assert _worn(ledger.totals()) == 4


def test_a_page_in_a_file_is_read_while_its_process_keeps_it(tmp_path: Path) -> None:
    """One that nobody keeps has nothing to say, and a second process does not get it."""
    path = tmp_path / "intake.page"
    assert read_file(path) == []
    memory = open_file(path)
    assert memory is not None
    page = Page(memory, SERIES)
    page.add(page.place(catalogue.RETIREMENTS, "worn"), 5)
    assert open_file(path) is None
    assert _worn(Ledger([path]).totals()) == 5
    path.rename(tmp_path / "kept")
    path.write_bytes((tmp_path / "kept").read_bytes())
    assert read_file(path) == []
