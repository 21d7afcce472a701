"""Answers a call on gRPC's own thread: for what is refused without looking."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class InlineExecutor(ThreadPoolExecutor):
    """Runs what it is given before it returns; it has no thread.

    gRPC insists on a ThreadPoolExecutor. What runs here must not wait for anything: no
    other call is accepted meanwhile.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1)

    def submit(
        self,
        fn: Callable[Parameters, Result],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Future[Result]:
        """Run it now."""
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)
        return future
