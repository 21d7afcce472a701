"""The load generator: arrivals, mixes, what it sends, what it counts, what it warns of."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imageward.v1.match_pb2 import CheckImageRequest
from imageward_bench.echo_server import echo_server
from imageward_bench.load.connection import Connection
from imageward_bench.load.driver import Step
from imageward_bench.load.figures import Figures, Resources, Used, figures_of, median_of
from imageward_bench.load.measure import measure, warnings_of
from imageward_bench.load.mix import InvalidMix, Mix, Part, read_mix
from imageward_bench.load.processes import GeneratorFailed, Generators, Setup
from imageward_bench.load.requests import Workload, make_workload
from imageward_bench.load.samples import Samples
from imageward_bench.load.schedule import Share, arrivals_ns
from imageward_bench.photographs import bank_half, other_half
from imageward_bench.process_tree import listener, look
from imageward_client import Client
from imageward_index.decode import cv2, decode_grey
from imageward_server.app import Server

SEED = 3
ECHO = Mix(call=(Part(kind="echo"),))
NONE = np.empty((0, 32), np.uint8)
OK, CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE, UNIMPLEMENTED = 0, 1, 4, 14, 12


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[str, int]]:
    """Run the plain echo; give its target and process id."""
    with echo_server(1) as running:
        yield running


def _samples(latency_ms: list[float], *, status: list[int] | None = None) -> Samples:
    """Make samples of calls a tenth of a second apart."""
    count = len(latency_ms)
    return Samples(
        ("hash",),
        np.arange(count) * 100_000_000,
        np.zeros(count, np.int64),
        (np.array(latency_ms) * 1e6).astype(np.int64),
        np.zeros(count, np.uint8),
        np.array(status or [OK] * count, np.uint8),
        np.zeros(count, np.bool_),
        (0.2,),
        (),
    )


@pytest.mark.parametrize("processes", [1, 3])
def test_constant_arrivals_are_even_over_all_processes(processes: int) -> None:
    """Dealt out to several processes, together they are one call every so often."""
    parts = [
        arrivals_ns("constant", 50, 2.0, Share(number, processes), SEED)
        for number in range(processes)
    ]
    assert np.sort(np.concatenate(parts)).tolist() == (np.arange(100) * 20_000_000).tolist()


def test_bursts_are_as_many_as_constant_arrivals() -> None:
    """What is due within 10 ms comes at its beginning: 3 and 4 in turn at 350 a second."""
    moments, calls = np.unique(
        arrivals_ns("bursts", 350, 1.0, Share(0, 1), SEED), return_counts=True
    )
    assert moments.tolist() == list(range(0, 1_000_000_000, 10_000_000))
    assert calls.tolist() == [4, 3] * 50


def test_poisson_arrivals_have_the_rate_and_its_spread() -> None:
    """Their gaps have the mean of the rate and, as such gaps have, a deviation as large."""
    parts = [arrivals_ns("poisson", 1000, 60.0, Share(number, 2), SEED) for number in range(2)]
    gaps = np.diff(np.sort(np.concatenate(parts)))
    assert gaps.mean() == pytest.approx(1e6, rel=0.03)
    assert gaps.std() == pytest.approx(1e6, rel=0.05)


def test_arrivals_depend_on_the_seed_alone() -> None:
    """The same seed gives the same arrivals, another one others."""
    first, again, other = (
        arrivals_ns("poisson", 100, 1.0, Share(0, 1), seed).tolist() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_mix_file_is_read(tmp_path: Path) -> None:
    """Parts have what the file says, and shares that sum to 1."""
    file = tmp_path / "mix.toml"
    file.write_text(
        '[[call]]\nkind = "hash"\nshare = 3\n\n'
        '[[call]]\nkind = "image"\nshare = 1\nmatches = 0.5\nmegapixels = [0.1, 0.2]\n'
    )
    mix = read_mix(file)
    assert mix.shares == (0.75, 0.25)
    assert mix.call[1].megapixels == (0.1, 0.2)
    assert str(mix) == "75% hash, 5% banked + 25% image of 0.1/0.2 MP jpeg, 50% banked"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[[call]]\nkind = "hashes"\n', "kind"),
        ('[[call]]\nkind = "hash"\nspeed = 1\n', "speed"),
        ('[[call]]\nkind = "batch"\nitems = 5000\n', "items"),
        ('[[call]]\nkind = "image"\nmegapixels = []\n', "megapixels"),
        ("call = []\n", "call"),
        ("[[call", "read"),
    ],
)
def test_a_wrong_mix_is_refused_with_the_field(tmp_path: Path, text: str, named: str) -> None:
    """Unknown names and values out of range are named."""
    file = tmp_path / "mix.toml"
    file.write_text(text)
    with pytest.raises(InvalidMix, match=named):
        read_mix(file)


def test_an_open_loop_sends_what_was_asked(echo: tuple[str, int]) -> None:
    """Every call of the schedule is sent and answered, by several processes together."""
    workload = make_workload(ECHO, NONE, SEED)
    with Generators(Setup(echo[0], workload, processes=2, connections=4)) as generators:
        done = measure(generators, Step(1.0, 5.0, rate_per_s=200), 0.2, (1,), echo[1])
    assert done.figures.statuses == {"OK": 200}
    assert len(done.samples) == 240
    assert done.figures.server.memory_bytes
    assert len(done.samples.cpu_share) == 2


def test_a_closed_loop_keeps_so_many_under_way(echo: tuple[str, int]) -> None:
    """By Little's law, calls a second times seconds a call are the calls under way."""
    workload = make_workload(ECHO, NONE, SEED)
    with Generators(Setup(echo[0], workload, connections=4)) as generators:
        samples = generators.run(Step(1.0, 5.0, concurrency=8), lambda: None)
    assert set(samples.status) == {OK}
    under_way = samples.latency_ns.sum() / 1e9
    assert under_way == pytest.approx(8, rel=0.15)


def test_a_stall_is_counted_from_the_intended_time(echo: tuple[str, int]) -> None:
    """While the server stands still, calls go on being due, and each waited for its rest."""
    target, pid = echo
    workload = make_workload(ECHO, NONE, SEED)
    stall_s, rate = 0.5, 100

    def stall() -> None:
        import os

        os.kill(pid, signal.SIGSTOP)
        time.sleep(stall_s)
        os.kill(pid, signal.SIGCONT)

    with Generators(Setup(target, workload, connections=2)) as generators:
        timer = threading.Timer(0.5, stall)
        samples = generators.run(Step(2.0, 5.0, rate_per_s=rate), timer.start)
        timer.join()
    assert set(samples.status) == {OK}
    late = samples.latency_ns / 1e9 > stall_s / 2
    # Counted from when they were sent, two calls would be late, one a connection. A busy
    # machine adds to those that are.
    assert late.sum() > 0.7 * rate * stall_s / 2


def test_calls_end_at_their_deadline(echo: tuple[str, int]) -> None:
    """A server that stands still is given up at the deadline, and counts so."""
    import os

    target, pid = echo
    with Generators(Setup(target, make_workload(ECHO, NONE, SEED), connections=2)) as generators:
        os.kill(pid, signal.SIGSTOP)
        try:
            timer = threading.Timer(1.2, os.kill, (pid, signal.SIGCONT))
            samples = generators.run(Step(0.5, 0.3, rate_per_s=50), timer.start)
            timer.join()
        finally:
            os.kill(pid, signal.SIGCONT)
    assert samples.status.tolist() == [DEADLINE_EXCEEDED] * 25
    assert samples.latency_ns.min() >= 0.3e9


def test_a_server_that_is_not_there_is_told() -> None:
    """The command gets a message, not a traceback of another process."""
    with (
        Generators(Setup("127.0.0.1:1", make_workload(ECHO, NONE, SEED))) as generators,
        pytest.raises(GeneratorFailed, match="cannot be reached"),
    ):
        generators.run(Step(0.1, 1.0, rate_per_s=10), lambda: None)


@pytest.mark.parametrize("kind", ["hash", "batch", "hash-stream", "image", "image-stream"])
def test_every_kind_of_call_is_answered_rightly(server: Server, client: Client, kind: str) -> None:
    """Half of what is sent is banked, and every answer says so."""
    banked = np.random.default_rng(SEED).integers(0, 256, (50, 32), np.uint8)
    part = Part.model_validate({"kind": kind, "matches": 0.5, "megapixels": [0.1], "items": 7})
    workload = make_workload(Mix(call=(part,)), banked, SEED)
    client.create_bank("b")
    client.add_entries("b", hashes=[code.tobytes() for code in banked])
    for image in workload.banked_images:
        client.add_entries("b", images=[image])
    assert sum(workload.pools[0].blocks) > 0
    samples = _run(server, workload)
    assert set(samples.status) == {OK}
    assert not samples.wrong.any()


def test_photographs_of_a_folder_are_banked_or_sent_and_never_both(tmp_path: Path) -> None:
    """Of half of them codes are made up; pictures that are not to be found are of the others."""
    rng = np.random.default_rng(SEED)
    for number, shade in enumerate([40, 200] * 3):
        grain = rng.normal(shade, 15, (60, 80, 3)).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), grain)
    mix = Mix(call=(Part(kind="image", matches=0.25, megapixels=(0.05,)),))
    workload = make_workload(mix, NONE, SEED, other_half(tmp_path))
    pairs = zip(workload.pools[0].messages, workload.pools[0].blocks, strict=True)
    sent = [CheckImageRequest.FromString(one).image for one, blocks in pairs if not blocks]

    assert [decode_grey(one).mean() < 100 for one in bank_half(tmp_path)] == [True] * 3
    assert len(sent) == 30
    assert min(decode_grey(one).mean() for one in sent) > 150
    assert not set(sent) & set(workload.banked_images)


def test_a_wrong_answer_is_noticed(server: Server, client: Client) -> None:
    """What should be a BLOCK, and is not, is counted as wrong."""
    client.create_bank("b")
    banked = np.random.default_rng(SEED).integers(0, 256, (50, 32), np.uint8)
    mix = Mix(call=(Part(kind="hash", matches=1.0),))
    samples = _run(server, make_workload(mix, banked, SEED))
    assert samples.ok.all()
    assert samples.wrong.all()


def test_refusals_are_counted_with_what_was_said(server: Server) -> None:
    """A method that is not there is UNIMPLEMENTED, for unary calls."""
    samples = _run(server, make_workload(ECHO, NONE, SEED))
    assert set(samples.status) == {UNIMPLEMENTED}
    assert "UNKNOWN_METHOD" in samples.failures[0] or "no such service" in samples.failures[0]


def _run(server: Server, workload: Workload) -> Samples:
    with Generators(Setup(f"127.0.0.1:{server.port}", workload, connections=2)) as generators:
        return generators.run(Step(1.0, 20.0, concurrency=2), lambda: None)


def test_more_calls_than_streams_wait_for_their_place() -> None:
    """A connection holds back what the server's settings do not allow, and loses nothing."""
    connection = Connection([(":authority", "here")])
    connection.receive(bytes.fromhex("000006 04 00 00000000 0003 00000002"))
    for key in range(5):
        connection.call(key, "/a/B", b"")
    begun = bytes(connection.out).count(b"/a/B")
    assert begun == 2
    trailers = b"\x88\x00\x0bgrpc-status\x010"
    head = len(trailers).to_bytes(3, "big") + bytes.fromhex("01 05 00000001")
    answers = connection.receive(head + trailers)
    assert [(answer.key, answer.status) for answer in answers] == [(0, OK)]
    assert bytes(connection.out).count(b"/a/B") == 3
    lost = connection.fail_all(UNAVAILABLE, "lost")
    assert sorted(answer.key for answer in lost) == [1, 2, 3, 4]


def test_the_warm_up_is_not_counted() -> None:
    """Only calls that were meant to begin within the window are."""
    samples = _samples([1.0] * 5 + [3.0] * 5)
    figures = figures_of(samples, (1,), (0.5, 1.0), Used())
    assert figures.statuses == {"OK": 5}
    assert figures.latency_ms["p50"] == pytest.approx(3.0, rel=0.001)
    assert figures.offered_per_s == 10


def test_refused_calls_are_not_fast_ones() -> None:
    """A refusal tells no latency, a deadline that passed does; neither is goodput."""
    samples = _samples([1.0, 9.0, 500.0], status=[UNAVAILABLE, OK, DEADLINE_EXCEEDED])
    figures = figures_of(samples, (1,), (0.0, 1.0), Used())
    assert figures.latency_ms["max"] == pytest.approx(500, rel=0.001)
    assert figures.latency_ms["mean"] == pytest.approx(254.5, rel=0.001)
    assert figures.goodput_per_s == 1
    assert figures.achieved_per_s == 2
    assert figures.errors_share == pytest.approx(2 / 3)


def test_percentiles_are_those_of_the_samples() -> None:
    """The histogram's percentiles are those of the sorted samples, to three digits."""
    latencies = np.random.default_rng(SEED).lognormal(1, 1, 5000)
    figures = figures_of(_samples(latencies.tolist()), (1,), (0, 1000), Used())
    for name in ("p50", "p99", "p99.9"):
        expected = np.sort(latencies)[round(len(latencies) * float(name[1:]) / 100) - 1]
        assert figures.latency_ms[name] == pytest.approx(expected, rel=0.005)
    assert "p99.99" not in figures.latency_ms


def test_doubtful_figures_are_warned_of() -> None:
    """A busy generator, late calls, busy neighbours, thieves, wrong answers are each named."""
    quiet = figures_of(_samples([1.0]), (1,), (0, 1), Used())
    assert warnings_of(quiet) == []
    loud = Figures(
        **{
            **{name: getattr(quiet, name) for name in Figures.__dataclass_fields__},
            "generator_cpu": 0.9,
            "lag_ms_p99": 5.0,
            "others_cpu": 1.0,
            "stolen_cpu": 1.0,
            "wrong": 3,
        }
    )
    assert len(warnings_of(loud)) == 5


def test_medians_are_of_repetitions_and_counts_are_summed() -> None:
    """One slow repetition of three does not move the median; every call is counted."""
    each = [
        figures_of(_samples([value]), (1,), (0, 1), Used(Resources(1.0, 2.0, 1.0, 1.0)))
        for value in (1.0, 2.0, 90.0)
    ]
    median = median_of(each)
    assert median.latency_ms["max"] == pytest.approx(2.0, rel=0.001)
    assert median.statuses == {"OK": 3}
    assert median.server.cpu_cores == 1.0


def test_a_process_tree_is_found_by_its_port(echo: tuple[str, int]) -> None:
    """The process that listens is found, and what it uses is told."""
    target, pid = echo
    assert listener(int(target.rpartition(":")[2])) == pid
    usage = look(pid)
    assert usage.cpu_s[pid] > 0
    assert 0 < usage.own_bytes <= usage.memory_bytes
