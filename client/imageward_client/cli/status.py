"""`imageward status`: is the server serving, and from what?"""

from dataclasses import asdict
from typing import Annotated

import typer

from imageward_client import PermissionDenied, ServingStatus, Unauthenticated
from imageward_client.cli._exit import EPILOG, ExitCode
from imageward_client.cli._output import Row
from imageward_client.cli._session import Json, Session, opened


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("status", epilog=EPILOG)(status)


def status(
    ctx: typer.Context,
    *,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="Wait so many seconds for it to serve; 0 asks once."
        ),
    ] = 0,
    json: Json = False,
) -> None:
    """Show whether the server serves, its revision and its counts.

    With --json one object: server, status and, while it serves and your role may see them, what
    GetStats answers.
    """
    with opened(ctx, json=json) as session:
        if wait:
            session.client.wait_for_ready(wait)
        word = session.client.status()
        serving = word is ServingStatus.SERVING
        counts = _counts(session) if serving else {}
        session.output.document({"server": session.target, "status": word.value} | counts)
    raise typer.Exit(ExitCode.OK if serving else ExitCode.FAILED)


def _counts(session: Session) -> dict[str, object]:
    try:
        stats = asdict(session.client.get_stats())
    except (Unauthenticated, PermissionDenied):
        return {}  # health answers anybody, and the counts only those whose role may
    banks = stats.pop("banks")
    return stats | {"banks": banks if session.output.json else list(map(_line, banks))}


def _line(bank: Row) -> str:
    return f"{bank['bank']}: {bank['active_count']} active, {bank['withdrawn_count']} withdrawn"
