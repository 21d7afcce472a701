"""The asyncio way to a server: a pool of channels, the deadlines, and errors rebuilt.

Nothing here knows a particular call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from grpc import RpcError, aio

from imageward_client._channel import RetryPolicy, channel_options
from imageward_client._convert import stream_answer
from imageward_client._defaults import STREAM_TIMEOUT_S, expect_timeout
from imageward_client._patience import Budget, Patience
from imageward_client._pool import Turns, expect_channels
from imageward_client._rebuild import from_rpc_error
from imageward_client._rpc import CHECK_STREAM, serialize
from imageward_client._tracing import traced

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from imageward.v1 import match_pb2
    from imageward_client._answers import StreamAnswer
    from imageward_client._call import Answer, Call, Item, Page


class AsyncTransport:
    """Sends calls and awaits their answers, within one event loop."""

    def __init__(self, target: str, timeout_s: float, retry: RetryPolicy, channels: int) -> None:
        self._timeout_s = expect_timeout(timeout_s)
        self._retry = retry
        self._budget = Budget(retry)
        options = channel_options(retry)
        self._channels = Turns(
            aio.insecure_channel(target, options=options) for _ in range(expect_channels(channels))
        )

    async def close(self) -> None:
        """Closes every channel; calls that run are cancelled."""
        await asyncio.gather(*(channel.close() for channel in self._channels.things))

    async def send(self, call: Call[Any, Answer], timeout_s: float | None) -> Answer:
        """Returns the answer of a call, within its own timeout or else the client's."""
        method = self._channels.next().unary_unary(
            call.rpc.path,
            request_serializer=serialize,
            response_deserializer=call.rpc.response.FromString,
        )
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        patience = Patience(self._retry, self._budget, timeout_s)
        with traced(call.rpc) as metadata:
            while True:
                try:
                    response = await method(
                        call.request, timeout=patience.left_s, metadata=metadata
                    )
                except RpcError as error:
                    refusal = from_rpc_error(error)
                    pause_s = patience.pause_s(refusal)
                    if pause_s is None:
                        raise refusal from error
                else:
                    self._budget.answered()
                    return call.read(response)
                await asyncio.sleep(pause_s)

    async def pages(
        self, fetch: Callable[[str], Call[Any, Page[Item]]], timeout_s: float | None
    ) -> AsyncIterator[Item]:
        """Yields the items of every page; a page is fetched when it is reached."""
        page = await self.send(fetch(""), timeout_s)
        for item in page.items:
            yield item
        while page.next_page_token:
            page = await self.send(fetch(page.next_page_token), timeout_s)
            for item in page.items:
                yield item

    async def stream(
        self, requests: AsyncIterator[match_pb2.CheckStreamRequest], timeout_s: float | None
    ) -> AsyncGenerator[StreamAnswer, None]:
        """Yields the answers of a stream; leaving it early cancels it."""
        method = self._channels.next().stream_stream(
            CHECK_STREAM.path,
            request_serializer=serialize,
            response_deserializer=CHECK_STREAM.response.FromString,
        )
        timeout_s = STREAM_TIMEOUT_S if timeout_s is None else timeout_s
        # A stream's span ends with its sending: what is yielded from may be left anywhere.
        with traced(CHECK_STREAM) as metadata:
            responses = method(requests, timeout=timeout_s, metadata=metadata)
        try:
            async for response in responses:
                yield stream_answer(response)
        except RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            responses.cancel()
