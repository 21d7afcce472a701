"""Lists of hashes go into a bank and come out the same."""

from __future__ import annotations

import itertools
import os
import random
import stat
from typing import TYPE_CHECKING

import grpc
import pytest

from imageward_client.cli import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.cli.conftest import Run
    from tests.client.conftest import Peer

HEX = "0f" * 32
SEED = 20_261_122


def test_round_trip(peer: Peer, run: Run, tmp_path: Path) -> None:
    """What is exported and imported into another bank is exported the same again."""
    peer.script.bank("A")
    peer.script.bank("B")
    lines = [
        HEX,
        f"{HEX},case 17",
        f"{HEX},80,a.jpg",
        f"hash={HEX},quality=99",
        f"hash={HEX},filename=12,b.jpg",
        f"{HEX},90,90,c.jpg",
    ]
    listed = _written(tmp_path / "list.txt", *lines)
    assert run("import", listed, "--bank", "A").code == ExitCode.OK
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    assert run("export", "--bank", "A", "-o", first).code == ExitCode.OK
    assert first.read_text().splitlines() == lines
    assert run("import", first, "--bank", "B").code == ExitCode.OK
    assert run("export", "--bank", "B", "-o", second).code == ExitCode.OK
    assert second.read_bytes() == first.read_bytes()


def test_refused_lines_are_counted_and_listed(peer: Peer, run: Run, tmp_path: Path) -> None:
    """Malformed lines and refused hashes are told with their numbers; the others are banked."""
    peer.script.bank("B")
    listed = _written(tmp_path / "list.txt", "# head", HEX, "", HEX.upper(), f"{HEX},10,dark.jpg")
    ran = run("import", listed, "--bank", "B", "--json")
    assert ran.code == ExitCode.REFUSED
    (document,) = ran.objects
    assert (document["banked"], document["refused"], document["revision"]) == (1, 2, 8)
    assert [refusal["line"] for refusal in document["refusals"]] == [4, 5]
    assert "line 4: Its digits are upper case" in ran.err
    assert "line 5: The quality is under 50" in ran.err
    assert HEX not in (ran.out + ran.err).lower()


def test_listing_of_refusals_is_bounded(peer: Peer, run: Run, tmp_path: Path) -> None:
    """Of many malformed lines the first 20 are listed and all are counted."""
    peer.script.bank("B")
    ran = run("import", _written(tmp_path / "list.txt", *["x"] * 50), "--bank", "B", "--json")
    (document,) = ran.objects
    assert (document["refused"], len(document["refusals"])) == (50, 20)
    assert "30 more lines" in ran.err
    assert ran.err.count("refused: line") == 20


def test_batches_of_1024(peer: Peer, run: Run, tmp_path: Path) -> None:
    """A list is sent 1,024 hashes at a time, malformed lines not counted."""
    peer.script.bank("B")
    random_ = random.Random(SEED)
    lines = [random_.randbytes(32).hex() for _ in range(2_500)]
    lines[100] = "malformed"
    ran = run("import", _written(tmp_path / "list.txt", *lines), "--bank", "B", "--json")
    assert [len(r.entries) for r in peer.script.requests["AddEntries"]] == [1_024, 1_024, 451]
    assert ran.objects[0]["banked"] == 2_499
    banked = [entry.hash.pdq.hex() for entry in peer.script.entries]
    assert banked == lines[:100] + lines[101:]


def test_import_that_broke_off_can_be_run_again(peer: Peer, run: Run, tmp_path: Path) -> None:
    """The second run banks what the first did not, and nothing twice."""
    peer.script.bank("B")
    listed = _written(tmp_path / "list.txt", *[f"{number:064x}" for number in range(2_000)])
    calls = itertools.count()
    add_entries = peer.script._add_entries
    peer.script.answers["AddEntries"] = lambda request: (
        add_entries(request) if next(calls) != 1 else peer.script.failure(grpc.StatusCode.INTERNAL)
    )
    assert run("import", listed, "--bank", "B").code == ExitCode.FAILED
    assert len(peer.script.entries) == 1_024
    ran = run("import", listed, "--bank", "B", "--json")
    assert ran.code == ExitCode.OK
    assert (ran.objects[0]["banked"], ran.objects[0]["banked_before"]) == (976, 1_024)
    assert len(peer.script.entries) == 2_000
    assert "--again" in ran.err


def test_import_again(peer: Peer, run: Run, tmp_path: Path) -> None:
    """--again banks the same list a second time."""
    peer.script.bank("B")
    listed = _written(tmp_path / "list.txt", HEX)
    for _ in range(2):
        assert run("import", listed, "--bank", "B", "--again").code == ExitCode.OK
    assert len(peer.script.entries) == 2


def test_equal_batches_of_one_list_are_all_banked(peer: Peer, run: Run, tmp_path: Path) -> None:
    """A list that repeats itself exactly is not taken for a repeated call."""
    peer.script.bank("B")
    listed = _written(tmp_path / "list.txt", *[HEX] * 2_048)
    assert run("import", listed, "--bank", "B").code == ExitCode.OK
    assert len(peer.script.entries) == 2_048


def test_import_without_references(peer: Peer, run: Run, tmp_path: Path) -> None:
    """--no-references banks the hashes and leaves the list's words behind."""
    peer.script.bank("B")
    listed = _written(tmp_path / "list.txt", f"{HEX},{'a name ' * 40}")
    assert run("import", listed, "--bank", "B", "--no-references").code == ExitCode.OK
    assert [entry.reference for entry in peer.script.entries] == [""]


def test_import_into_an_unknown_bank(run: Run, tmp_path: Path) -> None:
    """An unknown bank fails the import with the server's reason."""
    ran = run("import", _written(tmp_path / "list.txt", HEX), "--bank", "nobody")
    assert ran.code == ExitCode.FAILED
    assert "BANK_NOT_FOUND" in ran.err


def test_export_leaves_withdrawn_entries_out(peer: Peer, run: Run, tmp_path: Path) -> None:
    """Only what checks see is handed on, to standard output where no file is named."""
    peer.script.bank("B")
    other = "f0" * 32
    run("import", _written(tmp_path / "list.txt", HEX, other), "--bank", "B")
    run("entry", "withdraw", "e0")
    ran = run("export", "--bank", "B")
    assert (ran.code, ran.out) == (ExitCode.OK, f"{other}\n")
    assert "1 exported from B" in ran.err


def test_export_leaves_out_references_that_break_lines(
    peer: Peer, run: Run, tmp_path: Path
) -> None:
    """A reference with a line break is left out and counted, and its hash is kept."""
    peer.script.bank("B")
    run("import", _written(tmp_path / "list.txt", HEX), "--bank", "B")
    peer.script.entries[0].reference = "two\nlines"
    ran = run("export", "--bank", "B", "-o", tmp_path / "out.txt", "--json")
    assert ran.objects == [
        {
            "bank": "B",
            "file": str(tmp_path / "out.txt"),
            "exported": 1,
            "references_left_out": 1,
        }
    ]
    assert (tmp_path / "out.txt").read_text() == f"{HEX}\n"


def test_exported_file_is_private(peer: Peer, run: Run, tmp_path: Path) -> None:
    """Hashes are personal data: the file is its owner's alone."""
    peer.script.bank("B")
    run("export", "--bank", "B", "-o", tmp_path / "out.txt")
    assert stat.S_IMODE(os.stat(tmp_path / "out.txt").st_mode) == 0o600  # noqa: PTH116 - the mode


@pytest.mark.parametrize("pages_before", [0, 1])
def test_failed_export_leaves_no_file(
    peer: Peer, run: Run, tmp_path: Path, pages_before: int
) -> None:
    """An export that breaks off leaves an earlier file as it was, and none half done."""
    peer.script.bank("B")
    run("import", _written(tmp_path / "list.txt", *[HEX] * 5), "--bank", "B")
    (tmp_path / "out.txt").write_text("before\n")
    calls = itertools.count()
    list_entries = peer.script._list_entries
    peer.script.answers["ListEntries"] = lambda request: (
        list_entries(request)
        if next(calls) < pages_before
        else peer.script.failure(grpc.StatusCode.INTERNAL)
    )
    assert run("export", "--bank", "B", "-o", tmp_path / "out.txt").code == ExitCode.FAILED
    assert (tmp_path / "out.txt").read_text() == "before\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.txt", "out.txt"]


def _written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
