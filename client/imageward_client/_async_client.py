"""The asyncio client: what it asks about uploads and about the server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from imageward_client import _match_calls as calls
from imageward_client._async_bank_methods import AsyncBankMethods
from imageward_client._async_case_methods import AsyncCaseMethods
from imageward_client._async_transport import AsyncTransport
from imageward_client._channel import RetryPolicy
from imageward_client._convert import names
from imageward_client._defaults import TARGET, TIMEOUT_S
from imageward_client._endpoint import Endpoint
from imageward_client._pool import CHANNELS
from imageward_client._readiness import POLL_S, Countdown
from imageward_client._stream import Query, Questions
from imageward_client._types import HashLike, Scope, ServingStatus
from imageward_client.errors import DeadlineExceeded, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
    from types import TracebackType

    from imageward_client._answers import CheckAnswer, HashesAnswer, StreamAnswer
    from imageward_client._tls import Tls


class AsyncClient(AsyncBankMethods, AsyncCaseMethods):
    """Calls one imageward server and awaits its answers.

    It is made and used inside one event loop. Its calls are those of `Client`,
    under the same names and arguments; listings and streams are async iterators.

    Args:
        target: the server, as `host:port` or any gRPC target.
        timeout_s: seconds within which a call must be answered, retries and
            connecting included, unless the call says otherwise.
        retry: when an UNAVAILABLE call is sent again.
        channels: connections, 1..64, that take the calls in turn, so that one client's
            calls spread over the server's processes.
        token: `NAME.SECRET`, as the server's operator has given it; empty to call without.
            It crosses the network in clear where there is no TLS.
        tls: how to know the server, and to be known by it; None for no TLS.

    Raises:
        ValueError: the timeout is not above 0, the channels are out of range, or the token
            has another form.
        OSError: a file of TLS cannot be used.
    """

    def __init__(
        self,
        target: str = TARGET,
        *,
        timeout_s: float = TIMEOUT_S,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - it is immutable
        channels: int = CHANNELS,
        token: str = "",
        tls: Tls | None = None,
    ) -> None:
        self._transport = AsyncTransport(Endpoint(target, token, tls), timeout_s, retry, channels)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Does what `Client.close` does."""
        await self._transport.close()

    async def check_image(
        self,
        data: bytes,
        *,
        surface: str = "",
        banks: Sequence[str] = (),
        minimum_revision: int = 0,
        timeout_s: float | None = None,
    ) -> CheckAnswer:
        """Does what `Client.check_image` does."""
        scope = Scope(surface, names(banks), minimum_revision)
        return await self._transport.send(calls.check_image(data, scope), timeout_s)

    async def check_hashes(
        self,
        hashes: Sequence[HashLike],
        *,
        surface: str = "",
        banks: Sequence[str] = (),
        minimum_revision: int = 0,
        timeout_s: float | None = None,
    ) -> HashesAnswer:
        """Does what `Client.check_hashes` does."""
        scope = Scope(surface, names(banks), minimum_revision)
        return await self._transport.send(calls.check_hashes(hashes, scope), timeout_s)

    async def check_stream(
        self,
        queries: AsyncIterable[Query] | Iterable[Query],
        *,
        surface: str = "",
        banks: Sequence[str] = (),
        minimum_revision: int = 0,
        timeout_s: float | None = None,
    ) -> AsyncIterator[StreamAnswer]:
        """Does what `Client.check_stream` does."""
        questions = Questions(Scope(surface, names(banks), minimum_revision))
        stream = self._transport.stream(questions.async_requests(queries), timeout_s)
        async with contextlib.aclosing(stream) as answers:
            async for answer in answers:
                yield answer
        questions.reraise()

    async def status(self, service: str = "", *, timeout_s: float | None = None) -> ServingStatus:
        """Does what `Client.status` does."""
        return await self._transport.send(calls.status(service), timeout_s)

    async def wait_for_ready(self, timeout_s: float) -> None:
        """Does what `Client.wait_for_ready` does."""
        countdown = Countdown(timeout_s)
        while True:
            # Being away is what is waited out here.
            with contextlib.suppress(Unavailable, DeadlineExceeded):
                if await self.status(timeout_s=countdown.left_s()) is ServingStatus.SERVING:
                    return
            await asyncio.sleep(min(POLL_S, countdown.left_s()))
