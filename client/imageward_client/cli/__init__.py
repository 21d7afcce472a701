"""The `imageward` command: what people and scripts ask a server for.

One file a group of commands; each is a thin layer over `imageward_client.Client`.
Tables go to standard output for people, JSON lines with `--json` for programs;
progress, refusals and errors go to standard error. The library does not import
this package, and it does not know the index.
"""

from __future__ import annotations

from imageward_client.cli._app import main
from imageward_client.cli._exit import ExitCode

__all__ = ["ExitCode", "main"]
