"""The blocking client: what it asks about uploads and about the server."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Self

from imageward_client import _match_calls as calls
from imageward_client._bank_methods import BankMethods
from imageward_client._case_methods import CaseMethods
from imageward_client._channel import RetryPolicy
from imageward_client._convert import names
from imageward_client._defaults import TARGET, TIMEOUT_S
from imageward_client._endpoint import Endpoint
from imageward_client._pool import CHANNELS
from imageward_client._readiness import POLL_S, Countdown
from imageward_client._stream import Query, Questions
from imageward_client._transport import Transport
from imageward_client._types import HashLike, Scope, ServingStatus
from imageward_client.errors import DeadlineExceeded, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from imageward_client._answers import CheckAnswer, HashesAnswer, StreamAnswer
    from imageward_client._tls import Tls


class Client(BankMethods, CaseMethods):
    """Calls one imageward server and blocks for its answers.

    It may be shared by threads. It connects at the first call and again whenever
    it must. Every call raises an `ImagewardClientError` when it has no answer.

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
        self._transport = Transport(Endpoint(target, token, tls), timeout_s, retry, channels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes every channel; calls that run are cancelled."""
        self._transport.close()

    def check_image(
        self,
        data: bytes,
        *,
        surface: str = "",
        banks: Sequence[str] = (),
        minimum_revision: int = 0,
        timeout_s: float | None = None,
    ) -> CheckAnswer:
        """Checks one upload by its bytes, in all 8 rotations and mirrors.

        Args:
            data: the upload as it came, at most 20,000,000 bytes.
            surface: where it would appear; only banks for that surface are asked.
                Empty asks every bank.
            banks: names of the banks to ask, at most 64; empty for all.
            minimum_revision: the lowest revision that may answer; the call waits
                for it within its timeout.
            timeout_s: seconds for this call; None for the client's own.

        Raises:
            InvalidImage: the bytes cannot be read as an image.
            UnknownSurface: the server knows no such surface.
            BankNotFound: a named bank does not exist.
        """
        scope = Scope(surface, names(banks), minimum_revision)
        return self._transport.send(calls.check_image(data, scope), timeout_s)

    def check_hashes(
        self,
        hashes: Sequence[HashLike],
        *,
        surface: str = "",
        banks: Sequence[str] = (),
        minimum_revision: int = 0,
        timeout_s: float | None = None,
    ) -> HashesAnswer:
        """Checks 1..1,024 PDQ hashes, each exactly as it is given.

        A caller that hashes itself sends the 8 orientations it wants to be found.
        The other arguments are those of `check_image`.

        Args:
            hashes: 64 lower-case digits, 32 bytes or a `PdqHash` each.
            surface: where the uploads would appear.
            banks: names of the banks to ask.
            minimum_revision: the lowest revision that may answer.
            timeout_s: seconds for this call; None for the client's own.

        Raises:
            InvalidHash: one of them is no hash.
            InvalidBatch: there are none, or too many.
        """
        scope = Scope(surface, names(banks), minimum_revision)
        return self._transport.send(calls.check_hashes(hashes, scope), timeout_s)

    def check_stream(
        self,
        queries: Iterable[Query],
        *,
        surface: str = "",
        banks: Sequence[str] = (),
        minimum_revision: int = 0,
        timeout_s: float | None = None,
    ) -> Iterator[StreamAnswer]:
        """Answers queries in their order, on one stream that opens at the first `next`.

        The queries are pulled in another thread, ahead of the answers. A refused
        query is a value among the answers. What the queries' iterator raises is
        raised here, after the answers to what was asked before. A stream is never
        retried.

        Args:
            queries: `ImageQuery` and `HashQuery` values.
            surface: for queries without a scope of their own.
            banks: the same.
            minimum_revision: the same.
            timeout_s: seconds for the whole stream; None for an hour.

        Raises:
            TooManyStreams: the server has as many open as it allows.
        """
        questions = Questions(Scope(surface, names(banks), minimum_revision))
        yield from self._transport.stream(questions.requests(queries), timeout_s)
        questions.reraise()

    def status(self, service: str = "", *, timeout_s: float | None = None) -> ServingStatus:
        """Asks the standard health service once.

        Args:
            service: full name of a service; empty for the server as a whole.
            timeout_s: seconds for this call; None for the client's own.

        Raises:
            NotFound: the server does not know the service.
        """
        return self._transport.send(calls.status(service), timeout_s)

    def wait_for_ready(self, timeout_s: float) -> None:
        """Returns once the server says that it is serving.

        Args:
            timeout_s: seconds to wait at most.

        Raises:
            DeadlineExceeded: it was not within that time.
        """
        countdown = Countdown(timeout_s)
        while True:
            # Being away is what is waited out here.
            with contextlib.suppress(Unavailable, DeadlineExceeded):
                if self.status(timeout_s=countdown.left_s()) is ServingStatus.SERVING:
                    return
            time.sleep(min(POLL_S, countdown.left_s()))
