"""The decorator of loops that numba compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call, keep the machine code on disk, and release the GIL.

    Without fast-math: the order of sums is part of what makes a fingerprint repeatable.
    """
    return cast("Callable[P, R]", njit(cache=True, nogil=True)(function))
