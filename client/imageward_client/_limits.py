"""Bounds of the contract that are cheaper to meet before sending.

The server enforces every one of them. They are repeated here only where a call
that is bound to be refused would first push megabytes through the network, or
where a caller cuts its work into calls.
"""

from __future__ import annotations

IMAGE_BYTES_MAX = 20_000_000
BATCH_BYTES_MAX = 32_000_000
BATCH_COUNT_MAX = 1_024
REFERENCE_CHARACTERS_MAX = 128
HASH_BYTES = 32
QUALITY_MAX = 100
