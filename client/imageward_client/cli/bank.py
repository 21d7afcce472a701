"""`imageward bank`: make banks, see them, change their policies."""

from dataclasses import asdict
from typing import Annotated

import typer

from imageward_client import Action, Bank
from imageward_client.cli._exit import EPILOG
from imageward_client.cli._output import Row
from imageward_client.cli._session import Json, opened

COLUMNS = ("name", "action", "radius_bits", "surfaces", "enabled", "revision")
RADIUS_BITS = 31
RADIUS_BITS_MAX = 63

bank_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", epilog=EPILOG)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A letter or _, then letters, digits, _, - or .; 1..64 characters.",
    ),
]
# Shared by the two commands, which differ in what absence means.
ACTION = typer.Option(case_sensitive=False, help="What a match means.")
RADIUS = typer.Option(
    min=0, max=RADIUS_BITS_MAX, help="Largest distance that is a match, in bits, inclusive."
)
COVERAGE = typer.Option(
    min=0.0, max=1.0, help="Where parts are found: the least coverage that is a match."
)
DOUBTFUL = typer.Option(
    "--review-doubtful/--ignore-doubtful",
    help="Whether a person should look where parts are found, but not enough to be certain.",
)
SURFACE = typer.Option(metavar="NAME", help="Ask it only for this surface; repeat it.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(bank_app, name="bank", help="Make banks, see them, change their policies.")


@bank_app.command()
def create(
    ctx: typer.Context,
    name: Name,
    *,
    action: Annotated[Action, ACTION] = Action.BLOCK,
    radius: Annotated[int, RADIUS] = RADIUS_BITS,
    surface: Annotated[list[str] | None, SURFACE] = None,
    enabled: Annotated[
        bool, typer.Option("--enabled/--disabled", help="Whether checks ask it.")
    ] = True,
    coverage_min: Annotated[float, COVERAGE] = 0.0,
    review_doubtful: Annotated[bool, DOUBTFUL] = False,
    json: Json = False,
) -> None:
    """Make an empty bank; without --surface it is for every surface."""
    with opened(ctx, json=json) as session:
        bank = session.client.create_bank(
            name,
            action=action,
            radius=radius,
            surfaces=surface or (),
            enabled=enabled,
            coverage_min=coverage_min,
            review_doubtful=review_doubtful,
        )
        session.output.document(_row(bank))


@bank_app.command("list")
def list_(ctx: typer.Context, *, json: Json = False) -> None:
    """List every bank by name; with --json one object a bank."""
    with opened(ctx, json=json) as session:
        session.output.rows(COLUMNS, map(_row, session.client.list_banks()))


@bank_app.command()
def show(ctx: typer.Context, name: Name, *, json: Json = False) -> None:
    """Show one bank."""
    with opened(ctx, json=json) as session:
        session.output.document(_row(session.client.get_bank(name)))


@bank_app.command()
def update(
    ctx: typer.Context,
    name: Name,
    *,
    action: Annotated[Action | None, ACTION] = None,
    radius: Annotated[int | None, RADIUS] = None,
    surface: Annotated[list[str] | None, SURFACE] = None,
    every_surface: Annotated[
        bool, typer.Option("--every-surface", help="Ask it for every surface again.")
    ] = False,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Whether checks ask it.")
    ] = None,
    coverage_min: Annotated[float | None, COVERAGE] = None,
    review_doubtful: Annotated[bool | None, DOUBTFUL] = None,
    json: Json = False,
) -> None:
    """Change what is given of a bank's policy, and nothing else."""
    if every_surface and surface:
        raise typer.BadParameter("Give --surface or --every-surface, not both.")
    surfaces = () if every_surface else surface
    with opened(ctx, json=json) as session:
        bank = session.client.update_bank(
            name,
            action=action,
            radius=radius,
            surfaces=surfaces,
            enabled=enabled,
            coverage_min=coverage_min,
            review_doubtful=review_doubtful,
        )
        session.output.document(_row(bank))


def _row(bank: Bank) -> Row:
    return asdict(bank)
