"""MatchService: verdicts for upload frontends, from memory."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from imageward.v1 import match_pb2, match_pb2_grpc
from imageward_index.cascade import Watch
from imageward_index.errors import ImagewardError
from imageward_index.matcher import Decision, Matcher
from imageward_index.policy import Selection, Verdict
from imageward_server.admission import Place
from imageward_server.errors import InvalidRequest
from imageward_server.hasher import Hasher
from imageward_server.replica import Replica
from imageward_server.services import deadline, messages, validate
from imageward_server.sight.meters import Meters
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
        place: waits for a place to compute in, and holds it.
        meters: counts what checks come to.
        watch: is there while each pass over an image runs.
    """

    def __init__(
        self,
        replica: Replica,
        hasher: Hasher,
        surfaces: frozenset[str],
        place: Place,
        meters: Meters,
        watch: Watch,
    ) -> None:
        self._replica = replica
        self._hasher = hasher
        self._surfaces = surfaces
        self._place = place
        self._meters = meters
        self._matcher = Matcher(replica.hashes, replica.codes, watch)

    def CheckImage(
        self, request: match_pb2.CheckImageRequest, context: grpc.ServicerContext
    ) -> match_pb2.CheckImageResponse:
        """Check one upload by its bytes."""
        del context
        revision, selection = self._scope(request.scope)
        decision = self._check_image(request.image, selection)
        return match_pb2.CheckImageResponse(result=_as_message(decision), revision=revision)

    def CheckHashes(
        self, request: match_pb2.CheckHashesRequest, context: grpc.ServicerContext
    ) -> match_pb2.CheckHashesResponse:
        """Check a batch of hashes."""
        del context
        validate.batch("hashes", len(request.hashes))
        codes = validate.codes(request.hashes)
        qualities = [validate.quality(one) for one in request.hashes]
        revision, selection = self._scope(request.scope)
        with self._place():
            decisions = self._matcher.check_hashes(codes, qualities, selection)
        self._meters.decided(decisions)
        return match_pb2.CheckHashesResponse(
            results=[_as_message(decision) for decision in decisions], revision=revision
        )

    def CheckStream(
        self,
        request_iterator: Iterator[match_pb2.CheckStreamRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[match_pb2.CheckStreamResponse]:
        """Answer each question in the order it came."""
        del context
        for request in request_iterator:
            try:
                result, revision = self._check_one(request)
                yield match_pb2.CheckStreamResponse(
                    sequence=request.sequence, result=result, revision=revision
                )
            except ImagewardError as error:
                self._meters.refused(error)
                yield match_pb2.CheckStreamResponse(
                    sequence=request.sequence, refusal=refusal_of(error)
                )

    def _check_one(
        self, request: match_pb2.CheckStreamRequest
    ) -> tuple[match_pb2.CheckResult, int]:
        revision, selection = self._scope(request.scope)
        match request.WhichOneof("query"):
            case "image":
                decision = self._check_image(request.image, selection)
            case "hash":
                codes = validate.codes([request.hash])
                qualities = [validate.quality(request.hash)]
                with self._place():
                    (decision,) = self._matcher.check_hashes(codes, qualities, selection)
                self._meters.decided([decision])
            case _:
                raise InvalidRequest("neither an image nor a hash was sent; send one of them")
        return _as_message(decision), revision

    def _check_image(self, image: bytes, selection: Selection) -> Decision:
        with self._place(), self._hasher.look(image, deadline.end()) as picture:
            decision = self._matcher.check_image(picture, selection, deadline.usable_s())
        self._meters.decided([decision])
        return decision

    def _scope(self, scope: match_pb2.CheckScope) -> tuple[int, Selection]:
        """Read which banks are asked, and the revision that is sure to be searched."""
        if scope.surface:
            validate.surfaces([scope.surface], self._surfaces)
        names = validate.bank_names(scope.banks)
        if scope.minimum_revision > self._replica.revision:
            self._replica.wait_for(scope.minimum_revision, deadline.usable_s())
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
