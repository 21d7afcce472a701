"""The main job on real photographs: bank, alter, check, withdraw, crash, check again.

Everything goes through the shipped client to a server that is a process of its own.
What comes out otherwise than it should is marked, and makes the demo fail.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from imageward_bench import photographs
from imageward_bench.edits import EDITS, decode
from imageward_bench.server_process import ServerProcess
from imageward_client import Client, Verdict

BANK = "reported"
SURFACE = "INSTAGRAM"
RADIUS_BITS_SHOWN = 63
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload, and what should be said of it.

    Attributes:
        picture: the photograph's name.
        edit: what was done to it.
        image: the bytes that are sent.
        expected: the verdict it should get; None where it is only reported.
    """

    picture: str
    edit: str
    image: bytes
    expected: Verdict | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the service said of an upload."""

    upload: Upload
    verdict: Verdict
    distance_bits: int | None
    round_trip_ms: float
    wrong: bool

    @property
    def distance(self) -> str:
        """The distance as a reviewer reads it."""
        return (
            f"over {RADIUS_BITS_SHOWN}" if self.distance_bits is None else str(self.distance_bits)
        )


def run(console: Console) -> bool:
    """Run the demo; return whether everything came out as it should."""
    with tempfile.TemporaryDirectory(prefix="imageward-demo-") as folder:
        server = ServerProcess(Path(folder))
        with server, Client(server.target, timeout_s=TIMEOUT_S) as client:
            entry_ids = _bank(client)
            console.print(
                f"Banked {len(entry_ids)} photographs as 32 bytes each; no picture was kept."
            )
            outcomes = [
                _check(client, upload, entry_ids)
                for upload in track(list(_uploads()), "Checking altered copies", console=console)
            ]
            console.print(_as_table(outcomes))
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


def _uploads() -> Iterator[Upload]:
    for name in photographs.BANKED:
        original = photographs.read(name)
        yield Upload(name, "same bytes", original, Verdict.BLOCK)
        picture = decode(original)
        for edit, apply in EDITS.items():
            yield Upload(name, edit, apply(picture), Verdict.BLOCK)
    for name in photographs.UNRELATED:
        yield Upload(name, "unrelated picture", photographs.read(name), Verdict.ALLOW)
    name = photographs.HARD_NEGATIVE
    yield Upload(name, "right eye of a banked left eye", photographs.read(name), None)


def _check(client: Client, upload: Upload, entry_ids: dict[str, str]) -> Outcome:
    begun = time.perf_counter()
    answer = client.check_image(upload.image, surface=SURFACE)
    round_trip_ms = (time.perf_counter() - begun) * 1000
    found = client.find_matches(image=upload.image, radius=RADIUS_BITS_SHOWN).matches
    distance_bits = found[0].distance_bits if found else None
    # Blocked as another picture would be as wrong as not blocked.
    named = (entry_ids[upload.picture],) if upload.expected is Verdict.BLOCK else ()
    wrong = upload.expected is not None and (
        answer.verdict is not upload.expected or answer.entry_ids != named
    )
    return Outcome(upload, answer.verdict, distance_bits, round_trip_ms, wrong)


def _as_table(outcomes: list[Outcome]) -> Table:
    table = Table("picture", "edit", "verdict", "distance", "ms", title="What the service said")
    for column in table.columns[3:]:
        column.justify = "right"
    for one, following in zip(outcomes, [*outcomes[1:], None], strict=True):
        table.add_row(
            one.upload.picture,
            one.upload.edit,
            f"[red]{one.verdict}, wrong[/]" if one.wrong else str(one.verdict),
            one.distance,
            f"{one.round_trip_ms:.1f}",
            end_section=following is None or following.upload.picture != one.upload.picture,
        )
    return table


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
