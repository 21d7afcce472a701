"""The command `imageward-server intake`: the pages and keys.

What it works with is imported where it is used: `serve` imports this module too, and
becomes the supervisor, which shall be light.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imageward_server import config, logs
from imageward_server.operator_command import (
    EXIT_USAGE,
    ConfigFile,
    DataDir,
    Reason,
    fail,
    operator,
)

StoreKeyFile = Annotated[
    Path | None, typer.Option(help="File of the store's key, if it is encrypted.")
]
KeyDir = Annotated[Path | None, typer.Option(help="Folder of the entries' keys.")]

app = typer.Typer(no_args_is_help=True, help="Runs the intake of pictures by persons at risk.")


@app.command()
def serve(
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    intake_config: Annotated[Path | None, typer.Option(help="TOML file of the intake.")] = None,
    store_key_file: StoreKeyFile = None,
    key_dir: KeyDir = None,
) -> None:
    """Serve the intake's pages, and do its job, until SIGTERM or Ctrl-C."""
    from imageward_index.errors import ImagewardError  # noqa: PLC0415 - see above
    from imageward_server.intake.process import run  # noqa: PLC0415 - see above

    try:
        flags = {
            "data_dir": data_dir,
            "intake_config": intake_config,
            "store_key_file": store_key_file,
            "key_dir": key_dir,
        }
        loaded = config.load(flags, config_file).config
        logs.configure(loaded.log_format, loaded.log_level)
        run(loaded, lambda: config.load(flags, config_file).config)
    except config.InvalidConfig as error:
        fail(str(error), EXIT_USAGE)
    except (ImagewardError, OSError) as error:
        fail(str(error))


@app.command("new-key")
def make_key(
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not exist.")],
) -> None:
    """Make a master key, in a file that only you can read."""
    from imageward_server.key_file import make_key_file  # noqa: PLC0415 - see above

    try:
        make_key_file(file)
    except OSError as error:
        fail(f"the key cannot be written: {error}")


@app.command("rotate-key")
def rotate_key(
    new_key_file: Annotated[Path, typer.Argument(help="File of the new master key.")],
    reason: Reason = "",
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
    intake_config: Annotated[Path | None, typer.Option(help="TOML file of the intake.")] = None,
    store_key_file: StoreKeyFile = None,
    key_dir: KeyDir = None,
) -> None:
    """Wrap cases' keys and addresses with another master key. Stop all processes first.

    What was cut off can be done again. Then name the new key in the intake's file.
    """
    from imageward_index.errors import ImagewardError  # noqa: PLC0415 - see above
    from imageward_server.intake.rotation import rotate  # noqa: PLC0415 - see above

    try:
        flags = {
            "data_dir": data_dir,
            "intake_config": intake_config,
            "store_key_file": store_key_file,
            "key_dir": key_dir,
        }
        pictures, contacts = rotate(
            config.load(flags, config_file).config, new_key_file, operator(reason)
        )
    except config.InvalidConfig as error:
        fail(str(error), EXIT_USAGE)
    except (ImagewardError, OSError) as error:
        fail(str(error))
    typer.echo(f"rotated: {pictures} cases' keys and {contacts} addresses")
