"""The questions of a stream on their way out.

gRPC pulls them in a thread or task of its own and hides what goes wrong there.
This keeps it for whoever reads the answers. Nothing here knows a channel.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING

from imageward_client import _match_calls as calls
from imageward_client._types import HashQuery, ImageQuery, Scope

if TYPE_CHECKING:
    from imageward.v1 import match_pb2

Query = ImageQuery | HashQuery


class Questions:
    """Numbers the queries of one stream from 0 and remembers why they stopped.

    A query that cannot be sent, and an iterator that raises, end the questions.
    Those asked before are still answered; then `reraise` tells.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._failure: Exception | None = None

    def requests(self, queries: Iterable[Query]) -> Iterator[match_pb2.CheckStreamRequest]:
        """Yields the messages of the queries."""
        try:
            for sequence, query in enumerate(queries):
                yield calls.stream_request(sequence, query, self._scope)
        except Exception as failure:  # noqa: BLE001 - kept, and raised by reraise
            self._failure = failure

    async def async_requests(
        self, queries: AsyncIterable[Query] | Iterable[Query]
    ) -> AsyncIterator[match_pb2.CheckStreamRequest]:
        """Yields the messages of the queries."""
        sequence = 0
        try:
            async for query in _as_async(queries):
                yield calls.stream_request(sequence, query, self._scope)
                sequence += 1
        except Exception as failure:  # noqa: BLE001 - kept, and raised by reraise
            self._failure = failure

    def reraise(self) -> None:
        """Raises what ended the questions early, if anything did."""
        if self._failure is not None:
            raise self._failure


async def _as_async(queries: AsyncIterable[Query] | Iterable[Query]) -> AsyncIterator[Query]:
    if isinstance(queries, AsyncIterable):
        async for query in queries:
            yield query
        return
    for query in queries:
        yield query
