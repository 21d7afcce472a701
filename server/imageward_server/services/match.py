"""MatchService: verdicts for upload frontends, from memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import grpc

from imageward.v1 import match_pb2, match_pb2_grpc
from imageward_index.errors import ImagewardError
from imageward_index.matcher import Decision, Matcher
from imageward_index.policy import Selection, Verdict
from imageward_server.errors import InvalidRequest
from imageward_server.hasher import Hasher
from imageward_server.replica import Replica
from imageward_server.services import deadline, messages, validate
from imageward_server.status import refusal_of

_VERDICTS = {
    Verdict.ALLOW: match_pb2.VERDICT_ALLOW,
    Verdict.REVIEW: match_pb2.VERDICT_REVIEW,
    Verdict.BLOCK: match_pb2.VERDICT_BLOCK,
    Verdict.INCONCLUSIVE: match_pb2.VERDICT_INCONCLUSIVE,
}


class MatchService(match_pb2_grpc.MatchServiceServicer):
    """Answers checks.

    Args:
        replica: the index and banks to answer from.
        hasher: what opens images.
        surfaces: the surfaces that requests may name.
        search_places: how many batches of hashes are searched at once; the others wait.
    """

    def __init__(
        self,
        replica: Replica,
        hasher: Hasher,
        surfaces: frozenset[str],
        search_places: threading.Semaphore,
    ) -> None:
        self._replica = replica
        self._hasher = hasher
        self._surfaces = surfaces
        self._search_places = search_places
        self._matcher = Matcher(replica.hashes, replica.codes)

    def CheckImage(
        self, request: match_pb2.CheckImageRequest, context: grpc.ServicerContext
    ) -> match_pb2.CheckImageResponse:
        """Check one upload by its bytes."""
        ends = deadline.end_of(context)
        revision, selection = self._scope(request.scope, ends)
        decision = self._check_image(request.image, selection, ends)
        return match_pb2.CheckImageResponse(result=_as_message(decision), revision=revision)

    def CheckHashes(
        self, request: match_pb2.CheckHashesRequest, context: grpc.ServicerContext
    ) -> match_pb2.CheckHashesResponse:
        """Check a batch of hashes."""
        ends = deadline.end_of(context)
        validate.batch("hashes", len(request.hashes))
        codes = validate.codes(request.hashes)
        qualities = [validate.quality(one) for one in request.hashes]
        revision, selection = self._scope(request.scope, ends)
        with self._search_places:
            decisions = self._matcher.check_hashes(codes, qualities, selection)
        return match_pb2.CheckHashesResponse(
            results=[_as_message(decision) for decision in decisions], revision=revision
        )

    def CheckStream(
        self,
        request_iterator: Iterator[match_pb2.CheckStreamRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[match_pb2.CheckStreamResponse]:
        """Answer each question in the order it came."""
        del context  # a stream has no deadline for each of its questions
        for request in request_iterator:
            try:
                result, revision = self._check_one(request)
                yield match_pb2.CheckStreamResponse(
                    sequence=request.sequence, result=result, revision=revision
                )
            except ImagewardError as error:
                yield match_pb2.CheckStreamResponse(
                    sequence=request.sequence, refusal=refusal_of(error)
                )

    def _check_one(
        self, request: match_pb2.CheckStreamRequest
    ) -> tuple[match_pb2.CheckResult, int]:
        ends = deadline.end_of_question()
        revision, selection = self._scope(request.scope, ends)
        match request.WhichOneof("query"):
            case "image":
                decision = self._check_image(request.image, selection, ends)
            case "hash":
                codes = validate.codes([request.hash])
                qualities = [validate.quality(request.hash)]
                with self._search_places:
                    (decision,) = self._matcher.check_hashes(codes, qualities, selection)
            case _:
                raise InvalidRequest("neither an image nor a hash was sent; send one of them")
        return _as_message(decision), revision

    def _check_image(self, image: bytes, selection: Selection, ends: float) -> Decision:
        with self._hasher.look(image, ends) as picture:
            return self._matcher.check_image(picture, selection, ends - time.monotonic())

    def _scope(self, scope: match_pb2.CheckScope, ends: float) -> tuple[int, Selection]:
        """Read which banks are asked, and the revision that is sure to be searched."""
        if scope.surface:
            validate.surfaces([scope.surface], self._surfaces)
        names = validate.bank_names(scope.banks)
        if scope.minimum_revision > self._replica.revision:
            self._replica.wait_for(scope.minimum_revision, ends - time.monotonic())
        revision = self._replica.revision
        return revision, self._replica.banks.select(scope.surface, names)


def _as_message(decision: Decision) -> match_pb2.CheckResult:
    return match_pb2.CheckResult(
        verdict=_VERDICTS[decision.verdict],
        entry_ids=[validate.format_entry_id(one) for one in decision.entry_ids],
        logged_entry_ids=[validate.format_entry_id(one) for one in decision.logged_entry_ids],
        quality=decision.quality,
        low_quality=decision.low_quality,
        completeness=messages.completeness_number(decision.completeness),
    )
