"""Markdown of a record: a page that can be shown around by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

DIGITS = 4
HUNDRED = 100


def head(title: str, machine: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return the top of a page: what was run, when, where, with which versions."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    told = ", ".join(
        f"{name} {value}" for name, value in settings.items() if value not in (None, [])
    )
    return (
        f"# {title}\n\n"
        f"    {machine['command']}\n\n"
        f"- {machine['when']}, commit {machine['commit']}\n"
        f"- {machine['cpu']}, {machine['cores']} cores, load {machine['load_1min']} at the start; "
        f"{machine['platform']}, Python {machine['python']}\n"
        f"- {versions}\n"
        f"- {told}\n"
    )


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; the first column is text, the others are numbers."""
    lines = [f"| {' | '.join(names)} |", f"|---|{'---:|' * (len(names) - 1)}"]
    lines += [f"| {' | '.join(map(shown, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def shown(value: object) -> str:
    """Write a number with as many digits as mean something."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if abs(value) >= HUNDRED:
        return f"{value:,.0f}"
    return f"{value:.{DIGITS - 1}g}" if value else "0"


def warned(warnings: Iterable[str]) -> str:
    """Return warnings as a list, or nothing."""
    return "".join(f"- **warning**: {one}\n" for one in dict.fromkeys(warnings))
