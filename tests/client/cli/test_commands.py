"""The command: what it prints, and what its exit code says."""

from __future__ import annotations

import re
import sys
import types
from typing import TYPE_CHECKING, Annotated, Any

import grpc
import pytest
import typer.main
from grpc_health.v1 import health_pb2

from imageward_client.cli import ExitCode
from imageward_client.cli._app import app
from imageward_client.cli._exit import MEANINGS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.cli.conftest import Picture, Run
    from tests.client.conftest import Peer


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["plain"], ExitCode.OK),
        (["review"], ExitCode.REVIEW),
        (["inconclusive"], ExitCode.REVIEW),
        (["block"], ExitCode.BLOCKED),
        (["torn"], ExitCode.FAILED),
        (["plain", "review", "plain 2"], ExitCode.REVIEW),
        (["block", "review"], ExitCode.BLOCKED),
        (["torn", "review"], ExitCode.FAILED),
        (["torn", "block"], ExitCode.BLOCKED),
    ],
)
def test_check_exits_by_verdict(
    run: Run, picture: Picture, words: list[str], code: ExitCode
) -> None:
    """The exit code is the most severe of what befell the files, and each file has its row."""
    ran = run("check", *map(picture, words))
    assert ran.code == code
    assert all(word.replace(" ", "-") in ran.out for word in words)


def test_check_prints_json_lines(peer: Peer, run: Run, picture: Picture) -> None:
    """With --json each file is one object, a refused one with its error."""
    scope = ("--surface", "FACEBOOK", "--bank", "B", "--bank", "C", "--min-revision", "3")
    ran = run("check", "--json", *scope, picture("block"), picture("torn"))
    block, torn = ran.objects
    assert (block["verdict"], block["entry_ids"], block["revision"]) == ("BLOCK", ["e0"], 7)
    assert (torn["verdict"], torn["error"]["reason"]) == (None, "UNDECODABLE_IMAGE")
    sent = peer.script.requests["CheckImage"][0].scope
    assert (sent.surface, sent.banks, sent.minimum_revision) == ("FACEBOOK", ["B", "C"], 3)


@pytest.mark.parametrize("arguments", [("--json", "bank", "list"), ("bank", "list", "--json")])
def test_json_before_or_after_the_command(peer: Peer, run: Run, arguments: tuple[str, ...]) -> None:
    """--json means the same before and after the command."""
    peer.script.bank("B")
    assert [bank["name"] for bank in run(*arguments).objects] == ["B"]


def test_check_of_a_file_over_the_bound(peer: Peer, run: Run, tmp_path: Path) -> None:
    """A file over the bound is refused without being sent."""
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(20_000_001))
    ran = run("check", large)
    assert ran.code == ExitCode.FAILED
    assert "20,000,000" in ran.err
    assert peer.script.requests["CheckImage"] == []


def test_missing_file_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    """A file that is not there is a mistake of the command line."""
    assert run("check", tmp_path / "absent.jpg").code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("code", "reason", "hint"),
    [
        (grpc.StatusCode.UNAVAILABLE, "LOADING", "status --wait"),
        (grpc.StatusCode.NOT_FOUND, "BANK_NOT_FOUND", "bank list"),
        (grpc.StatusCode.INTERNAL, "INTERNAL", ""),
    ],
)
def test_error_says_what_and_what_to_do(
    peer: Peer, run: Run, code: grpc.StatusCode, reason: str, hint: str
) -> None:
    """An error of the server is its message, its reason and a hint on standard error."""
    peer.script.fail("GetBank", code, reason=reason, times=9)
    ran = run("bank", "show", "B")
    assert (ran.code, ran.out) == (ExitCode.FAILED, "")
    assert f"It failed. [{reason}]" in ran.err
    assert hint in ran.err


def test_timeout_before_the_command(peer: Peer, run: Run) -> None:
    """--timeout bounds a call, and the error says how to give it more."""
    peer.script.hold("GetBank", 30)
    ran = run("--timeout", "0.2", "bank", "show", "B")
    assert ran.code == ExitCode.FAILED
    assert "--timeout" in ran.err


def test_server_from_the_environment(peer: Peer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """IMAGEWARD_SERVER names the server, and --server goes before it."""
    monkeypatch.setenv("IMAGEWARD_SERVER", "127.0.0.1:1")
    assert run("bank", "list").code == ExitCode.OK
    assert peer.script.requests["ListBanks"]


def test_terminal_is_not_steered(peer: Peer, run: Run) -> None:
    """What a server or a file name says cannot move the cursor of a terminal."""
    code = grpc.StatusCode.INTERNAL
    peer.script.fail("GetBank", code, message="\x1b[2J[bold]gone[/bold]")
    ran = run("bank", "show", "B")
    assert "\x1b" not in ran.err
    assert "?[2J[bold]gone[/bold]" in ran.err


def test_status_of_a_serving_server(peer: Peer, run: Run) -> None:
    """A server that serves is shown with its counts, and the exit code is 0."""
    ran = run("status", "--json")
    assert ran.code == ExitCode.OK
    (document,) = ran.objects
    assert (document["server"], document["status"]) == (peer.target, "SERVING")
    assert document["banks"] == [{"bank": "B", "active_count": 3, "withdrawn_count": 1}]
    assert "B: 3 active, 1 withdrawn" in run("status").out


def test_status_of_a_loading_server(peer: Peer, run: Run) -> None:
    """A server that does not serve is told by the exit code, also after waiting."""
    peer.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    ran = run("status")
    assert (ran.code, "NOT_SERVING" in ran.out) == (ExitCode.FAILED, True)
    assert run("status", "--wait", "0.2").code == ExitCode.FAILED


def test_bank_commands(run: Run) -> None:
    """A bank is made, changed where something is given, shown and listed."""
    assert run("bank", "create", "B", "--surface", "FACEBOOK").code == ExitCode.OK
    ran = run("bank", "update", "B", "--action", "review", "--radius", "0", "--disabled")
    assert ran.code == ExitCode.OK
    (bank,) = run("bank", "show", "B", "--json").objects
    assert (bank["action"], bank["radius_bits"], bank["enabled"]) == ("REVIEW", 0, False)
    assert bank["surfaces"] == ["FACEBOOK"]
    (bank,) = run("bank", "update", "B", "--every-surface", "--json").objects
    assert (bank["surfaces"], bank["action"]) == ([], "REVIEW")
    assert run("bank", "create", "B").code == ExitCode.FAILED
    assert re.search(r"B.*REVIEW", run("bank", "list").out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("bank", "create", "B", "--radius", "64"),
        ("bank", "create", "B", "--action", "nonsense"),
        ("bank", "update", "B", "--surface", "X", "--every-surface"),
        ("entry", "list", "--limit", "0"),
        ("nonsense",),
        ("--timeout", "0", "bank", "list"),
    ],
)
def test_wrong_command_lines(run: Run, arguments: tuple[str, ...]) -> None:
    """A command line that makes no sense exits with 2 and asks nothing."""
    assert run(*arguments).code == ExitCode.USAGE


def test_refusals_are_in_the_tables(run: Run, peer: Peer, picture: Picture) -> None:
    """For people the reason of a refused file is in its row, and the message beside the table."""
    peer.script.bank("B")
    checked = run("check", picture("torn"))
    added = run("entry", "add", "--bank", "B", picture("flat"))
    assert re.search(r"torn.jpg.*UNDECODABLE_IMAGE", checked.out)
    assert "The image is torn." in checked.err
    assert re.search(r"flat.jpg.*LOW_QUALITY", added.out)
    assert "The quality is under 50." in added.err


def test_update_of_nothing_is_an_error(peer: Peer, run: Run) -> None:
    """A change of nothing is refused before it is sent."""
    assert run("bank", "update", "B").code == ExitCode.FAILED
    assert peer.script.requests["UpdateBank"] == []


def test_entry_add(peer: Peer, run: Run, picture: Picture, tmp_path: Path) -> None:
    """Pictures are banked in order; each refused one is told and the exit code is 5."""
    peer.script.bank("B")
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(20_000_001))
    files = [picture("one"), large, picture("flat"), picture("two")]
    ran = run("entry", "add", "--bank", "B", "--reference", "case 7", "--json", *files)
    assert ran.code == ExitCode.REFUSED
    assert [row["entry_id"] for row in ran.objects] == ["e0", None, None, "e1"]
    reasons = [row.get("refusal", {}).get("reason") for row in ran.objects]
    assert reasons == [None, "IMAGE_TOO_LARGE", "LOW_QUALITY", None]
    assert [entry.reference for entry in peer.script.entries] == ["case 7", "case 7"]
    assert ran.err.count("refused: ") == 2


def test_entry_add_sends_bounded_batches(peer: Peer, run: Run, tmp_path: Path) -> None:
    """No call carries more than 24 MB of pictures."""
    peer.script.bank("B")
    files = [tmp_path / f"{number}.jpg" for number in range(5)]
    for file in files:
        file.write_bytes(bytes(11_000_000))
    assert run("entry", "add", "--bank", "B", *files).code == ExitCode.OK
    batches = [len(request.entries) for request in peer.script.requests["AddEntries"]]
    assert batches == [2, 2, 1]


def test_entry_commands(peer: Peer, run: Run, picture: Picture) -> None:
    """Entries are shown, listed, withdrawn and restored, and their hashes are never printed."""
    peer.script.bank("B")
    run("entry", "add", "--bank", "B", *map(picture, ["one", "two", "three"]))
    assert run("entry", "withdraw", "e0", "e1", "--json").objects == [
        {"withdrawn": 2, "revision": 9}
    ]
    assert run("entry", "restore", "e1", "--json").objects == [{"restored": 1, "revision": 9}]
    shown = run("entry", "show", "e0", "e2", "--json")
    assert [entry["state"] for entry in shown.objects] == ["WITHDRAWN", "ACTIVE"]
    listed = run("entry", "list", "--bank", "B", "--state", "active", "--json")
    assert [entry["id"] for entry in listed.objects] == ["e1", "e2"]
    assert len(run("entry", "list", "--limit", "2", "--json").objects) == 2
    assert bytes(range(32)).hex() not in shown.out + listed.out
    assert run("entry", "show", "nobody").code == ExitCode.FAILED


def test_entry_find(run: Run, picture: Picture) -> None:
    """A reviewer sees how each match was found."""
    ran = run("entry", "find", picture("one"), "--bank", "B", "--radius", "40", "--json")
    whole, part = ran.objects
    assert whole == {
        "file": str(picture("one")),
        "entry_id": "e0",
        "bank": "B",
        "method": "TRIMMED",
        "certain": True,
        "distance_bits": 12,
        "orientation": "FLIP_HORIZONTAL",
        "coverage": None,
        "inliers": 0,
        "corners_in_query": [],
        "corners_in_entry": [],
    }
    assert (part["method"], part["coverage"], part["inliers"]) == ("PARTS_MIRRORED", 0.5, 7)
    assert part["corners_in_entry"] == [{"x": 0.25, "y": 0.0}]
    assert "PARTS_MIRRORED" in run("entry", "find", picture("one")).out


def test_extra_command_that_is_not_installed(
    run: Run, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command of the server extra says what to install where the extra is missing."""
    # None makes the import fail as it does where the module is not there.
    monkeypatch.setitem(sys.modules, "imageward_server.hash_command", None)
    ran = run("hash", picture("one"))
    assert ran.code == ExitCode.USAGE
    assert "needs the server extra: pip install 'imageward[server]'" in ran.err


def test_extra_command_that_is_installed(
    run: Run, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command of another package gets its own arguments, and --json with them."""
    module = types.ModuleType("imageward_server.hash_command")
    module.hash_files = _hash_files  # type: ignore[attr-defined]  # made on the line above
    monkeypatch.setitem(sys.modules, module.__name__, module)
    file = picture("one")
    assert run("hash", file).out == f"{file} False\n"
    assert run("hash", "--json", file).out == f"{file} True\n"
    assert run("--json", "hash", file).out == f"{file} True\n"


def test_help_tells_every_exit_code(run: Run) -> None:
    """The help of the command says what each exit code means."""
    ran = run("--help")
    assert ran.code == ExitCode.OK
    assert set(MEANINGS) == set(ExitCode)
    assert all(re.search(rf"^ *{code:d}  \w", ran.out, re.MULTILINE) for code in ExitCode)


def test_every_option_and_argument_has_help() -> None:
    """Each command, option and argument is explained."""
    silent = [
        f"{command.name} {parameter.name}"
        for command in _commands(typer.main.get_command(app))
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert silent == []
    assert all(command.help for command in _commands(typer.main.get_command(app)))


def _commands(command: object) -> list[Any]:
    inner = getattr(command, "commands", {})
    return [command, *(found for sub in inner.values() for found in _commands(sub))]


def _hash_files(
    files: list[str], *, as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    typer.echo(f"{files[0]} {as_json}")
