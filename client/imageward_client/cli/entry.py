"""`imageward entry`: see single entries, take them out of every answer, put them back."""

from itertools import islice
from typing import Annotated

import typer

from imageward_client import Entry, EntryState
from imageward_client.cli import _entry_add, _entry_find
from imageward_client.cli._exit import EPILOG
from imageward_client.cli._output import Row
from imageward_client.cli._session import Json, opened

COLUMNS = ("id", "bank", "state", "source", "quality", "regional_codes", "reference", "create_time")
LIMIT = 100

entry_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", epilog=EPILOG)
entry_app.command("add", epilog=EPILOG)(_entry_add.add)
entry_app.command("find")(_entry_find.find)

Ids = Annotated[
    list[str], typer.Argument(metavar="ID", help="Ids of entries, at most 1,024 of them.")
]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(entry_app, name="entry", help="Bank pictures; see and withdraw entries.")


@entry_app.command()
def withdraw(ctx: typer.Context, ids: Ids, *, json: Json = False) -> None:
    """Take entries out of every answer, all of them or none."""
    with opened(ctx, json=json) as session:
        answer = session.client.withdraw_entries(ids)
        document = {"withdrawn": answer.changed_count, "revision": answer.revision}
        session.output.document(document)


@entry_app.command()
def restore(ctx: typer.Context, ids: Ids, *, json: Json = False) -> None:
    """Put withdrawn entries back, all of them or none."""
    with opened(ctx, json=json) as session:
        answer = session.client.restore_entries(ids)
        session.output.document({"restored": answer.changed_count, "revision": answer.revision})


@entry_app.command()
def show(ctx: typer.Context, ids: Ids, *, json: Json = False) -> None:
    """Show entries without their hashes; with --json one object an entry."""
    with opened(ctx, json=json) as session:
        entries = map(session.client.get_entry, ids)
        session.output.rows(COLUMNS, map(_row, entries))


@entry_app.command("list")
def list_(
    ctx: typer.Context,
    *,
    bank: Annotated[
        str, typer.Option(metavar="NAME", help="Only entries of this bank. Default: of every one.")
    ] = "",
    state: Annotated[
        EntryState | None,
        typer.Option(case_sensitive=False, help="Only entries in this state. Default: any."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="List so many entries at most.")] = LIMIT,
    json: Json = False,
) -> None:
    """List entries without their hashes, as they were banked; with --json one object an entry."""
    with opened(ctx, json=json) as session:
        entries = islice(session.client.list_entries(bank, state), limit)
        session.output.rows(COLUMNS, map(_row, entries))


def _row(entry: Entry) -> Row:
    """Returns what is shown of an entry: all but its hash, which only `export` writes."""
    return {
        "id": entry.id,
        "bank": entry.bank,
        "state": entry.state.value,
        "source": entry.source.value,
        "quality": entry.hash and entry.hash.quality,
        "regional_codes": entry.regional_code_count,
        "reference": entry.reference,
        "create_time": entry.create_time,
        "update_time": entry.update_time,
        "revision": entry.revision,
    }
