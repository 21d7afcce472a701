"""The ways in which a cell's life ends."""

from __future__ import annotations

import enum


class Retirement(enum.StrEnum):
    """Why a cell was ended."""

    OVERRUN = "overrun"
    """It took too long over an image."""
    ABANDONED = "abandoned"
    """Its caller waited no more."""
    REFUSED = "refused"
    """It took long while no slow place was free, or too little of a processor."""
    SLOW = "slow"
    """It finished at a low priority, which cannot be raised again."""
    WORN = "worn"
    """It had as many jobs as a cell gets."""
    CRASHED = "crashed"
    """It ended by itself."""
    ESCAPING = "escaping"
    """It asked the kernel for what no cell needs."""
    LYING = "lying"
    """It answered with what no cell says."""
