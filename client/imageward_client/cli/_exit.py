"""What the exit code says."""

from __future__ import annotations

from enum import IntEnum

from imageward_client import Verdict


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REVIEW = 3
    BLOCKED = 4
    REFUSED = 5


MEANINGS = {
    ExitCode.OK: "fine; every checked file is allowed",
    ExitCode.FAILED: "the server or the network failed, or a file could not be checked",
    ExitCode.USAGE: "the command line is wrong, or an extra is not installed",
    ExitCode.REVIEW: "at least one REVIEW or INCONCLUSIVE",
    ExitCode.BLOCKED: "at least one BLOCK",
    ExitCode.REFUSED: "some items of an add or import were refused, the others are banked",
}
# In the help each paragraph becomes a line.
EPILOG = "\n\n".join(["Exit codes:", *(f"{code:d}  {text}" for code, text in MEANINGS.items())])
# Of several files the first of these that occurs is told: what must be stopped,
# then what nobody knows, then what a person must see.
SEVERITY = (ExitCode.BLOCKED, ExitCode.FAILED, ExitCode.REVIEW)
BY_VERDICT = {
    Verdict.ALLOW: ExitCode.OK,
    Verdict.REVIEW: ExitCode.REVIEW,
    Verdict.INCONCLUSIVE: ExitCode.REVIEW,
    Verdict.BLOCK: ExitCode.BLOCKED,
}


def most_severe(codes: set[ExitCode]) -> ExitCode:
    """Returns the one exit code that stands for several files."""
    return next((code for code in SEVERITY if code in codes), ExitCode.OK)
