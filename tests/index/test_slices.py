"""The plan of a segment: the pigeonhole, the cost model and its bounds."""

from __future__ import annotations

from itertools import product
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageward_index.slices import (
    BYTES_A_CODE_MAX,
    SCAN,
    Plan,
    bit_order,
    bytes_a_code,
    expected_ns,
    flips,
    plan_for,
    probe_count,
    probe_radii,
    probe_table,
    row_bytes,
    scan_ns,
    search_ns,
    work_max,
)


def test_pigeonhole_leaves_no_way_to_hide() -> None:
    """Every spread of at most `radius` differing bits over four slices is met by a probe."""
    plan = Plan(width_bits=256, slices=4, slice_bits=16)
    for radius in range(9):
        radii = probe_radii(plan, radius)
        for spread in product(range(radius + 1), repeat=4):
            if sum(spread) <= radius:
                met = [
                    own <= radii[part] and own + other <= radii[part] + radii[part ^ 1] + 1
                    for part, (own, other) in enumerate(
                        (spread[part], spread[part ^ 1]) for part in range(4)
                    )
                ]
                assert any(met), (radius, spread, radii)


@given(st.integers(1, 16), st.integers(0, 63))
def test_probe_radii_spend_the_radius_exactly(pairs: int, radius: int) -> None:
    """The probe radii plus one sum up to the radius plus one, and differ by one at most."""
    plan = Plan(width_bits=256, slices=2 * pairs, slice_bits=8)
    radii = probe_radii(plan, radius)
    assert radius + 1 == sum(own + 1 for own in radii)
    assert max(radii) - min(radii) <= 1


@pytest.mark.parametrize(
    ("slice_bits", "radius", "expected"),
    [(16, -1, 0), (16, 0, 1), (16, 1, 17), (16, 2, 137), (3, 3, 8), (3, 9, 8)],
)
def test_probe_count_is_the_volume_of_a_ball(slice_bits: int, radius: int, expected: int) -> None:
    """The values within a radius of a slice are as many as a Hamming ball has points."""
    assert expected == probe_count(slice_bits, radius)


@pytest.mark.parametrize("width_bits", [64, 256])
def test_few_codes_are_scanned(width_bits: int) -> None:
    """Tables are not built where reading every code takes no longer than probing."""
    for codes in (0, 1, 100):
        assert plan_for(codes, width_bits, 6).slices == 0


@pytest.mark.parametrize(
    ("codes", "width_bits", "radius"),
    [(10**6, 256, 31), (10**7, 256, 31), (10**8, 256, 31), (10**7, 64, 6), (10**8, 64, 4)],
)
def test_large_segments_stay_within_their_bytes(codes: int, width_bits: int, radius: int) -> None:
    """The plan of a large segment keeps the bytes a code may take, and beats a scan by far."""
    plan = plan_for(codes, width_bits, radius, id_bytes=6.0)
    assert bytes_a_code(plan, codes, 6.0) <= BYTES_A_CODE_MAX[width_bits]
    assert expected_ns(plan, codes, radius) < scan_ns(plan, codes) / 50


def test_ten_million_codes_take_the_promised_bytes() -> None:
    """At 10 million codes a 256-bit code takes 96 bytes at most, a 64-bit code 40."""
    for width_bits, radius, promised in ((256, 31, 96), (64, 6, 40)):
        plan = plan_for(10**7, width_bits, radius, id_bytes=6.0)
        assert bytes_a_code(plan, 10**7, 6.0) <= promised


def test_a_radius_beyond_the_tables_is_scanned() -> None:
    """Where slices are too narrow for the probe radii there is no probing, only the scan."""
    plan = Plan(width_bits=256, slices=4, slice_bits=4)
    assert inf == search_ns(plan, 10**6, 63)
    assert probe_table(plan, 10**6, 63)[63] == (SCAN,) * 4


def test_the_cheaper_way_is_taken_for_every_radius() -> None:
    """The table of probe radii says scan exactly where the model finds a scan cheaper."""
    plan = plan_for(10**6, 256, 31)
    table = probe_table(plan, 10**6, 63)
    for radius, radii in enumerate(table):
        probing = search_ns(plan, 10**6, radius) < scan_ns(plan, 10**6)
        assert probing == (radii[0] != SCAN)
    assert table[31] == (1,) * 16


def test_cost_rises_with_codes_and_radius() -> None:
    """More codes or more radius never cost less."""
    plan = Plan(width_bits=256, slices=16, slice_bits=16)
    by_codes = [search_ns(plan, 10**power, 31) for power in range(3, 9)]
    by_radius = [search_ns(plan, 10**6, radius) for radius in range(64)]
    assert sorted(by_codes) == by_codes
    assert sorted(by_radius) == by_radius


def test_the_work_bound_is_a_scan() -> None:
    """A query may compare so many sketches as take the time of one scan."""
    plan = Plan(width_bits=256, slices=16, slice_bits=16)
    assert work_max(plan, 10**6) == 3 * 10**6


def test_regional_bits_are_dealt_out() -> None:
    """Neighbouring frequencies of a 64-bit code fall into different slices; no bit is lost."""
    plan = Plan(width_bits=64, slices=3, slice_bits=21)
    order = bit_order(plan)
    assert list(range(64)) == sorted(order)
    assert order[:4] == (1, 4, 7, 10)
    slice_of = {bit: place // 21 for place, bit in enumerate(order)}
    assert all(slice_of[bit] != slice_of[bit + 1] for bit in range(63))


def test_narrow_slices_leave_out_what_tells_least() -> None:
    """Bit 0 and the highest frequencies are in no slice where there is no room for all."""
    order = bit_order(Plan(width_bits=64, slices=3, slice_bits=18))
    assert sorted(order[:54]) == list(range(1, 55))


@given(st.integers(1, 5), st.integers(0, 8), st.integers(1, 6))
def test_one_word_leaves_no_way_to_hide(slices: int, radius: int, slice_bits: int) -> None:
    """However differing bits are spread over slices and the rest, a probe meets them."""
    radii = probe_radii(Plan(width_bits=64, slices=slices, slice_bits=slice_bits), radius)
    for spread in product(range(radius + 1), repeat=slices):
        if sum(spread) <= radius:
            assert any(own <= most for own, most in zip(spread, radii, strict=True))


def test_flips_are_all_masks_that_are_probed() -> None:
    """They come by rising weight, each once, as many as the largest probe radius has."""
    plan = Plan(width_bits=64, slices=3, slice_bits=21)
    masks = flips(plan, 8)
    weights = [mask.bit_count() for mask in masks]
    assert (len(set(masks)), len(masks)) == (probe_count(21, 2), probe_count(21, 2))
    assert weights == sorted(weights)


def test_pdq_bits_stay_in_place() -> None:
    """The bits of a PDQ hash keep their order: they are close to uniform."""
    assert tuple(range(256)) == bit_order(Plan(width_bits=256, slices=16, slice_bits=16))


@pytest.mark.parametrize(
    ("codes", "expected"), [(1, 1), (256, 1), (257, 2), (1 << 16, 2), (1 << 24, 3), (10**8, 4)]
)
def test_row_numbers_take_the_least_bytes(codes: int, expected: int) -> None:
    """A row number takes as many bytes as the largest one needs."""
    assert expected == row_bytes(codes)


@pytest.mark.parametrize(
    ("slices", "slice_bits"), [(3, 16), (-2, 16), (18, 16), (4, 17), (4, 0), (66, 1)]
)
def test_impossible_cuts_are_refused(slices: int, slice_bits: int) -> None:
    """A plan that the kernels could not walk cannot be made."""
    with pytest.raises(ValueError, match="cannot cut 256 bits"):
        Plan(width_bits=256, slices=slices, slice_bits=slice_bits)


@pytest.mark.parametrize(("slices", "slice_bits"), [(3, 22), (2, 23), (-1, 8), (3, 0)])
def test_impossible_cuts_of_one_word_are_refused(slices: int, slice_bits: int) -> None:
    """Nor one of a code of one word, whose slices may be odd in number."""
    with pytest.raises(ValueError, match="cannot cut 64 bits"):
        Plan(width_bits=64, slices=slices, slice_bits=slice_bits)
