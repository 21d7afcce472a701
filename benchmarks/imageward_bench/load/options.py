"""Options that the load benchmarks share, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imageward_bench.load.mix import Kind

Target = Annotated[
    str, typer.Option(help="host:port of a server that runs; empty: start one, with a bank.")
]
BankSize = Annotated[str, typer.Option(help="Entries in the bank of a server that is started.")]
Regional = Annotated[
    bool,
    typer.Option(
        "--regional",
        help="Fill the bank with whole fingerprints: 12 kB an entry, minutes for a million.",
    ),
]
Photos = Annotated[
    Path | None,
    typer.Option(
        help="Photographs for banks of whole fingerprints: codes are made up from one half, the "
        "other is sent; scikit-image's own without.",
        exists=True,
        file_okay=False,
    ),
]
Workers = Annotated[
    int | None, typer.Option(help="Workers of a server that is started.", min=1, max=256)
]
ServerFlags = Annotated[
    list[str] | None,
    typer.Option("--server-flag", help="Further flag of a server that is started. Repeat it."),
]
MixFile = Annotated[
    Path | None,
    typer.Option("--mix", help="TOML file of what is sent.", exists=True, dir_okay=False),
]
CallKind = Annotated[Kind, typer.Option("--call", help="What is sent, where there is no mix.")]
MetricsUrl = Annotated[
    str,
    typer.Option(help="Of the server's metrics: they tell its use, not /proc. http://host/metrics"),
]
Items = Annotated[int, typer.Option(help="Hashes of a batch.", min=1, max=1024)]
Megapixels = Annotated[float, typer.Option(help="Size of images.", min=0.01, max=50)]
Matches = Annotated[
    float, typer.Option(help="Share of hashes or images that are banked.", min=0, max=1)
]
Connections = Annotated[
    int, typer.Option(help="Connections of all processes together.", min=1, max=900)
]
Processes = Annotated[int, typer.Option(help="Generator processes.", min=1, max=64)]
WarmupS = Annotated[float, typer.Option("--warmup-s", help="Seconds not counted at first.", min=0)]
DurationS = Annotated[
    float, typer.Option("--duration-s", help="Seconds that are counted.", min=0.1, max=86_400)
]
Repetitions = Annotated[int, typer.Option(help="How often it is measured.", min=1, max=1000)]
DeadlineS = Annotated[
    float, typer.Option("--deadline-s", help="Deadline of each call.", min=0.001, max=60)
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", help="name=value sent with each call. Repeat it."),
]
Seed = Annotated[int, typer.Option(help="Seed of all random data.")]
Out = Annotated[Path, typer.Option(help="Folder for the report.", file_okay=False)]
Smoke = Annotated[bool, typer.Option("--smoke", help="Tiny sizes: does it run at all?")]

OUT_DEFAULT = Path("bench-report")
SMOKE_BANK = 2000


def metadata_of(told: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Read `name=value` pairs.

    Raises:
        BadParameter: one has no name or no `=`.
    """
    pairs = []
    for one in told or ():
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise typer.BadParameter("write it as name=value", param_hint="--metadata")
        pairs.append((name.lower(), value))
    return tuple(pairs)


def count_of(text: str) -> int:
    """Read `1e6` as a count.

    Raises:
        BadParameter: it is not a count.
    """
    try:
        count = int(float(text))
    except (ValueError, OverflowError):
        count = -1
    if count < 0:
        raise typer.BadParameter(f"{text} is not a count, such as 1e6")
    return count


def require_use_of(photos: Path | None, *, regional: bool) -> None:
    """Refuse photographs that nothing would be made up from.

    Raises:
        BadParameter: they were given for a bank of hashes alone.
    """
    if photos is not None and not regional:
        raise typer.BadParameter("add --regional: a bank of hashes alone needs no photographs")
