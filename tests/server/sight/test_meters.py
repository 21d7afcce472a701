"""Meters: every method, status, reason and decision has its number beforehand."""

from __future__ import annotations

import mmap

import grpc
import pytest
from google.protobuf import descriptor_pool

from imageward_index import errors as index_errors
from imageward_index.answer import Pass
from imageward_index.errors import ImagewardError
from imageward_index.matcher import Completeness, Decision
from imageward_index.policy import Verdict
from imageward_server import errors
from imageward_server.lifecycle import SERVICES
from imageward_server.sight import catalogue
from imageward_server.sight.meters import PageMeters
from imageward_server.sight.methods import code_label, method_labels
from imageward_server.sight.page import PAGE_BYTES, read_page

METHODS = [
    f"/{service}/{method.name}"
    for service in SERVICES
    for method in descriptor_pool.Default().FindServiceByName(service).methods
]


@pytest.fixture
def meters() -> PageMeters:
    """Return meters that nothing else shows."""
    return PageMeters(mmap.mmap(-1, PAGE_BYTES), 3)


def _shown(meters: PageMeters, family: catalogue.Family) -> dict[tuple[str, ...], float]:
    """Read what one metric counts, without zeros."""
    memory = meters.page.numbers.obj
    assert isinstance(memory, mmap.mmap)
    return {
        one.values: one.numbers[0]
        for one in read_page(memory)
        if one.family == family and one.numbers[0]
    }


@pytest.mark.parametrize("path", METHODS)
def test_every_method_has_its_own_numbers(meters: PageMeters, path: str) -> None:
    """Whatever a server answers is told apart."""
    meters.method(path).refuse(grpc.StatusCode.RESOURCE_EXHAUSTED)
    labels = method_labels()[path]
    assert _shown(meters, catalogue.STARTED) == {labels: 1}
    assert _shown(meters, catalogue.HANDLED) == {(*labels, "ResourceExhausted"): 1}


def test_names_that_nobody_has_share_one_number(meters: PageMeters) -> None:
    """A caller cannot make new series by calling what is not there."""
    for path in ("/a/b", "/c/d", None):
        meters.method(path).refuse(grpc.StatusCode.UNIMPLEMENTED)
    assert _shown(meters, catalogue.STARTED) == {("unary", "unknown", "unknown"): 3}


def test_statuses_are_spelled_as_dashboards_know_them() -> None:
    """As Go's codes.Code writes them."""
    assert {code_label(code) for code in grpc.StatusCode} == {
        *("OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound"),
        *("AlreadyExists", "PermissionDenied", "Unauthenticated", "ResourceExhausted"),
        *("FailedPrecondition", "Aborted", "Unimplemented", "Internal", "Unavailable"),
        *("OutOfRange", "DataLoss"),
    }


@pytest.mark.parametrize(
    ("error", "family", "reason"),
    [
        (
            index_errors.UndecodableImage("torn"),
            catalogue.DECODE_REJECTIONS,
            "UNDECODABLE_IMAGE",
        ),
        (errors.ImageTooCostly("slow"), catalogue.DECODE_REJECTIONS, "IMAGE_TOO_COSTLY"),
        (errors.RateLimited("often"), catalogue.ADMISSION_REJECTIONS, "RATE_LIMITED"),
        (errors.DeadlineExceeded("late"), catalogue.ADMISSION_REJECTIONS, "DEADLINE_EXCEEDED"),
        (errors.TooManyStreams("full"), catalogue.ADMISSION_REJECTIONS, "TOO_MANY_STREAMS"),
    ],
)
def test_refusals_are_counted_by_reason(
    meters: PageMeters, error: ImagewardError, family: catalogue.Family, reason: str
) -> None:
    """Each by the reason that its caller is told."""
    meters.refused(error)
    meters.refused(errors.EntryNotFound("neither of the two"))
    shown = {
        one: _shown(meters, one)
        for one in (catalogue.DECODE_REJECTIONS, catalogue.ADMISSION_REJECTIONS)
    }
    assert shown.pop(family) == {(reason,): 1}
    assert list(shown.values()) == [{}]


def test_checks_are_counted_by_verdict_pass_and_completeness(meters: PageMeters) -> None:
    """A batch is as many checks as it has hashes."""
    meters.decided([Decision(Verdict.ALLOW, Completeness.HASH_ONLY)] * 3)
    meters.decided([Decision(Verdict.BLOCK, Completeness.COMPLETE, found_by=Pass.FINE_MIRRORED)])
    assert _shown(meters, catalogue.CHECKS) == {
        ("ALLOW", "none", "HASH_ONLY"): 3,
        ("BLOCK", "fine_mirrored", "COMPLETE"): 1,
    }
