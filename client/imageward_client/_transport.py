"""The blocking way to a server: a pool of channels, the deadlines, and errors rebuilt.

Nothing here knows a particular call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc

from imageward_client._channel import RetryPolicy, channel_options
from imageward_client._convert import stream_answer
from imageward_client._defaults import STREAM_TIMEOUT_S, expect_timeout
from imageward_client._patience import Budget, Patience
from imageward_client._pool import Pool, expect_channels
from imageward_client._rebuild import from_rpc_error
from imageward_client._rpc import CHECK_STREAM, serialize
from imageward_client._tracing import traced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imageward.v1 import match_pb2
    from imageward_client._answers import StreamAnswer
    from imageward_client._call import Answer, Call, Item, Page
    from imageward_client._endpoint import Endpoint


class Transport:
    """Sends calls and blocks for their answers; may be shared by threads."""

    def __init__(
        self, endpoint: Endpoint, timeout_s: float, retry: RetryPolicy, channels: int
    ) -> None:
        self._timeout_s = expect_timeout(timeout_s)
        self._retry = retry
        self._budget = Budget(retry)
        self._endpoint = endpoint
        self._metadata = endpoint.metadata()
        self._options = channel_options(retry)
        self._channels_count = expect_channels(channels)
        self._channels = Pool(endpoint.tls, self._connect, lambda channel: channel.close())

    def close(self) -> None:
        """Closes every channel; calls that run are cancelled."""
        for channel in self._channels.all():
            channel.close()

    def send(self, call: Call[Any, Answer], timeout_s: float | None) -> Answer:
        """Returns the answer of a call, within its own timeout or else the client's."""
        with self._channels.borrowed() as channel:
            return self._send(channel, call, timeout_s)

    def _send(
        self, channel: grpc.Channel, call: Call[Any, Answer], timeout_s: float | None
    ) -> Answer:
        method = channel.unary_unary(
            call.rpc.path,
            request_serializer=serialize,
            response_deserializer=call.rpc.response.FromString,
        )
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        patience = Patience(self._retry, self._budget, timeout_s)
        with traced(call.rpc) as trace:
            metadata = (*self._metadata, *trace)
            while True:
                try:
                    response = method(call.request, timeout=patience.left_s, metadata=metadata)
                except grpc.RpcError as error:
                    refusal = from_rpc_error(error)
                    pause_s = patience.pause_s(refusal)
                    if pause_s is None:
                        raise refusal from error
                else:
                    self._budget.answered()
                    return call.read(response)
                time.sleep(pause_s)

    def pages(
        self, fetch: Callable[[str], Call[Any, Page[Item]]], timeout_s: float | None
    ) -> Iterator[Item]:
        """Yields the items of every page; a page is fetched when it is reached."""
        page = self.send(fetch(""), timeout_s)
        yield from page.items
        while page.next_page_token:
            page = self.send(fetch(page.next_page_token), timeout_s)
            yield from page.items

    def stream(
        self, requests: Iterator[match_pb2.CheckStreamRequest], timeout_s: float | None
    ) -> Iterator[StreamAnswer]:
        """Yields the answers of a stream; leaving it early cancels it."""
        with self._channels.borrowed() as channel:
            method = channel.stream_stream(
                CHECK_STREAM.path,
                request_serializer=serialize,
                response_deserializer=CHECK_STREAM.response.FromString,
            )
            timeout_s = STREAM_TIMEOUT_S if timeout_s is None else timeout_s
            # A stream's span ends with its sending: what is yielded from may be left anywhere.
            with traced(CHECK_STREAM) as trace:
                metadata = (*self._metadata, *trace)
                responses = method(requests, timeout=timeout_s, metadata=metadata)
            try:
                yield from map(stream_answer, responses)
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error
            finally:
                responses.cancel()

    def _connect(self) -> list[grpc.Channel]:
        """Makes the channels."""
        target, tls = self._endpoint.target, self._endpoint.tls
        if tls is None:
            return [
                grpc.insecure_channel(target, options=self._options)
                for _ in range(self._channels_count)
            ]
        credentials, options = tls.credentials(), [*self._options, *tls.options()]
        return [
            grpc.secure_channel(target, credentials, options=options)
            for _ in range(self._channels_count)
        ]
