"""The main job on real photographs: bank, alter, check, withdraw, crash, check again.

Everything goes through the shipped client to a server that is a process of its own.
What comes out otherwise than it should is marked, and makes the demo fail.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from imageward_bench import demo_sheet, photographs
from imageward_bench.demo_uploads import OVERLAYS, PARTS, Upload, uploads
from imageward_bench.server_process import ServerProcess
from imageward_client import Client, Match, Verdict

BANK = "reported"
SURFACE = "INSTAGRAM"
# What of all that is on the contact sheet: one banked photograph and one that is not.
SHOWN = ("coffee.png", "retina.jpg")
SHOWN_EDITS = (
    *("same bytes", "JPEG quality 30", *PARTS),
    *("unrelated picture", *(f"unrelated, the same {name}" for name in OVERLAYS)),
)
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the service said of an upload."""

    upload: Upload
    verdict: Verdict
    match: Match | None
    round_trip_ms: float
    wrong: bool

    @property
    def found_by(self) -> str:
        """How it was found, as a reviewer reads it."""
        match self.match:
            case None:
                return ""
            case Match(distance_bits=None, method=method, coverage=coverage):
                return f"{method.replace('_', ' ').lower()}, {coverage:.0%} covered"
            case Match(method=method, distance_bits=bits):
                return f"{method.lower()}, {bits} bits"


def run(console: Console, sheet: Path) -> bool:
    """Run the demo and draw its contact sheet; return whether all came out as it should."""
    with tempfile.TemporaryDirectory(prefix="imageward-demo-") as folder:
        server = ServerProcess(Path(folder))
        with server, Client(server.target, timeout_s=TIMEOUT_S) as client:
            entry_ids = _bank(client)
            console.print(_banked(client))
            outcomes = [
                _check(client, upload, entry_ids)
                for upload in track(list(uploads()), "Checking altered copies", console=console)
            ]
            console.print(_as_table(outcomes))
            _draw_sheet(outcomes, sheet)
            console.print(f"What was sent, and what came back: {sheet}")
            findings = [
                _altered_copies_found(outcomes),
                _withdrawn_at_once(client, entry_ids),
                _nothing_lost(client, server, entry_ids),
            ]
    for passed, finding in findings:
        console.print(f"{'[green]as it should be[/]' if passed else '[red]WRONG[/]'}: {finding}")
    return all(passed for passed, _ in findings)


def _bank(client: Client) -> dict[str, str]:
    """Bank the photographs; return each one's entry id."""
    client.create_bank(BANK)
    images = [photographs.read(name) for name in photographs.BANKED]
    answer = client.add_entries(BANK, images=images)
    return {
        name: result.entry_id or ""
        for name, result in zip(photographs.BANKED, answer.results, strict=True)
    }


def _banked(client: Client) -> str:
    stats = client.get_stats()
    return (
        f"Banked {stats.index_size} photographs as a hash of 32 bytes and "
        f"{stats.regional_code_count / stats.index_size:.0f} codes of their parts each; "
        "no picture was kept."
    )


def _check(client: Client, upload: Upload, entry_ids: dict[str, str]) -> Outcome:
    begun = time.perf_counter()
    answer = client.check_image(upload.image, surface=SURFACE)
    round_trip_ms = (time.perf_counter() - begun) * 1000
    found = client.find_matches(image=upload.image).matches
    # Blocked as another picture would be as wrong as not blocked.
    named = (entry_ids[upload.picture],) if upload.expected is Verdict.BLOCK else ()
    wrong = upload.expected is not None and (
        answer.verdict is not upload.expected or answer.entry_ids != named
    )
    return Outcome(upload, answer.verdict, found[0] if found else None, round_trip_ms, wrong)


def _as_table(outcomes: list[Outcome]) -> Table:
    table = Table("picture", "edit", "verdict", "found by", "ms", title="What the service said")
    table.columns[-1].justify = "right"
    for one, following in zip(outcomes, [*outcomes[1:], None], strict=True):
        table.add_row(
            one.upload.picture,
            one.upload.edit,
            f"[red]{one.verdict}, wrong[/]" if one.wrong else str(one.verdict),
            one.found_by,
            f"{one.round_trip_ms:.1f}",
            end_section=following is None or following.upload.picture != one.upload.picture,
        )
    return table


def _draw_sheet(outcomes: list[Outcome], path: Path) -> None:
    tiles = [
        demo_sheet.Tile(one.upload.image, one.upload.edit, one.verdict, one.found_by)
        for one in outcomes
        if one.upload.picture in SHOWN and one.upload.edit in SHOWN_EDITS
    ]
    demo_sheet.draw(tiles, path)


def _altered_copies_found(outcomes: list[Outcome]) -> tuple[bool, str]:
    wrong = sum(one.wrong for one in outcomes)
    blocked = sum(one.verdict is Verdict.BLOCK for one in outcomes)
    expected = sum(one.upload.expected is Verdict.BLOCK for one in outcomes)
    median_ms = sorted(one.round_trip_ms for one in outcomes)[len(outcomes) // 2]
    return not wrong, (
        f"{blocked} uploads blocked, {expected} of them to be blocked, of {len(outcomes)} sent; "
        f"median round trip {median_ms:.1f} ms"
    )


def _withdrawn_at_once(client: Client, entry_ids: dict[str, str]) -> tuple[bool, str]:
    name = photographs.BANKED[0]
    client.withdraw_entries([entry_ids[name]])
    answer = client.check_image(photographs.read(name), surface=SURFACE)
    return answer.verdict is Verdict.ALLOW, (
        f"{name} withdrawn, and the next check of it, at revision {answer.revision}, "
        f"says {answer.verdict}"
    )


def _nothing_lost(
    client: Client, server: ServerProcess, entry_ids: dict[str, str]
) -> tuple[bool, str]:
    before = list(client.list_entries(BANK))
    server.kill()
    server.start()
    client.wait_for_ready(TIMEOUT_S)
    after = list(client.list_entries(BANK))
    withdrawn, *active = photographs.BANKED
    verdicts = {name: client.check_image(photographs.read(name)) for name in entry_ids}
    kept = after == before and all(
        verdicts[name].entry_ids == (entry_ids[name],) for name in active
    )
    still_gone = verdicts[withdrawn].verdict is Verdict.ALLOW
    return kept and still_gone, (
        f"server killed with SIGKILL and restarted: {len(after)} of {len(before)} entries there, "
        f"{len(active)} blocked again, the withdrawn one {verdicts[withdrawn].verdict}"
    )
