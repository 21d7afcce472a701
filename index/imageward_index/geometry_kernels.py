"""Compiled loops of the geometric check: guided matching, fits, aligned windows."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from imageward_index.region_kernels import sample


@njit(cache=True, nogil=True)
def popcount(v):
    v = v - ((v >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (v * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(cache=True, nogil=True)
def match_guided(
    q_codes, q_geo, b_codes, b_geo, m, seed_x, seed_y, gate, gate_slope, radius, log_gate, turn_gate,
    pairs,
):
    """Pair bank codes with query codes near where the homography m (query -> bank) puts them.

    geo columns: x, y, scale, angle. One query code a bank code, each at most once.
    """
    n = len(q_codes)
    px = np.empty(n)
    py = np.empty(n)
    ps = np.empty(n)
    pa = np.empty(n)
    for i in range(n):
        x = q_geo[i, 0]
        y = q_geo[i, 1]
        w = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        if w < 0.1:
            ps[i] = -1.0
            continue
        px[i] = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / w
        py[i] = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / w
        # The Jacobian carries the patch's frame.
        jxx = (m[0, 0] - px[i] * m[2, 0]) / w
        jxy = (m[0, 1] - px[i] * m[2, 1]) / w
        jyx = (m[1, 0] - py[i] * m[2, 0]) / w
        jyy = (m[1, 1] - py[i] * m[2, 1]) / w
        c = math.cos(q_geo[i, 3])
        s = math.sin(q_geo[i, 3])
        ps[i] = math.log2(q_geo[i, 2] * math.sqrt(abs(jxx * jyy - jxy * jyx)) + 1e-12)
        pa[i] = math.atan2(jyx * c + jyy * s, jxx * c + jxy * s)
    used = np.zeros(n, np.bool_)
    count = 0
    for b in range(len(b_codes)):
        best = radius + 1
        best_at = -1
        reach = gate + gate_slope * math.hypot(b_geo[b, 0] - seed_x, b_geo[b, 1] - seed_y)
        log_scale = math.log2(b_geo[b, 2])
        for i in range(n):
            if used[i] or ps[i] == -1.0:
                continue
            dx = px[i] - b_geo[b, 0]
            dy = py[i] - b_geo[b, 1]
            if dx * dx + dy * dy > reach * reach:
                continue
            if abs(ps[i] - log_scale) > log_gate:
                continue
            turn = abs(pa[i] - b_geo[b, 3]) % (2 * math.pi)
            if min(turn, 2 * math.pi - turn) > turn_gate:
                continue
            d = popcount(q_codes[i] ^ b_codes[b])
            if d < best:
                best = d
                best_at = i
        if best_at >= 0:
            used[best_at] = True
            pairs[count, 0] = best_at
            pairs[count, 1] = b
            count += 1
    return count


@njit(cache=True, nogil=True)
def seed_similarity(q, b):
    """The similarity (3x3) that puts one query frame (x, y, scale, angle) on a bank frame."""
    m = np.zeros((3, 3))
    k = b[2] / q[2]
    turn = b[3] - q[3]
    c = k * math.cos(turn)
    s = k * math.sin(turn)
    m[0, 0] = c
    m[0, 1] = -s
    m[1, 0] = s
    m[1, 1] = c
    m[0, 2] = b[0] - c * q[0] + s * q[1]
    m[1, 2] = b[1] - s * q[0] - c * q[1]
    m[2, 2] = 1.0
    return m


@njit(cache=True, nogil=True)
def solve(a, y):
    """Solve a @ x = y by elimination with pivots; y is overwritten with x. False if singular."""
    n = len(a)
    for i in range(n):
        p = i
        for r in range(i + 1, n):
            if abs(a[r, i]) > abs(a[p, i]):
                p = r
        if abs(a[p, i]) < 1e-12:
            return False
        for c in range(n):
            a[i, c], a[p, c] = a[p, c], a[i, c]
        for c in range(y.shape[1]):
            y[i, c], y[p, c] = y[p, c], y[i, c]
        for r in range(n):
            if r != i:
                f = a[r, i] / a[i, i]
                if f != 0.0:
                    for c in range(i, n):
                        a[r, c] -= f * a[i, c]
                    for c in range(y.shape[1]):
                        y[r, c] -= f * y[i, c]
    for i in range(n):
        for c in range(y.shape[1]):
            y[i, c] /= a[i, i]
    return True


@njit(cache=True, nogil=True)
def fit_affine(q_geo, b_geo, pairs, count, arm, arm_weight):
    """Least squares affine of paired frames: centres, and the tips of two arms at weight."""
    a = np.zeros((3, 3))
    y = np.zeros((3, 2))
    for k in range(count):
        i = pairs[k, 0]
        b = pairs[k, 1]
        for tip in range(3):
            w = 1.0 if tip == 0 else arm_weight
            qx = q_geo[i, 0]
            qy = q_geo[i, 1]
            bx = b_geo[b, 0]
            by = b_geo[b, 1]
            if tip:
                at = (tip - 1) * math.pi / 2
                qx += arm * q_geo[i, 2] * math.cos(q_geo[i, 3] + at)
                qy += arm * q_geo[i, 2] * math.sin(q_geo[i, 3] + at)
                bx += arm * b_geo[b, 2] * math.cos(b_geo[b, 3] + at)
                by += arm * b_geo[b, 2] * math.sin(b_geo[b, 3] + at)
            v = (qx, qy, 1.0)
            for r in range(3):
                for c in range(3):
                    a[r, c] += w * v[r] * v[c]
                y[r, 0] += w * v[r] * bx
                y[r, 1] += w * v[r] * by
    m = np.zeros((3, 3))
    ok = solve(a, y)
    for c in range(3):
        m[0, c] = y[c, 0]
        m[1, c] = y[c, 1]
    m[2, 2] = 1.0
    return ok, m


@njit(cache=True, nogil=True)
def fit_homography(q_geo, b_geo, pairs, count, ridge):
    """Least squares homography of paired centres, its two last terms held near 0 by ridge."""
    a = np.zeros((8, 8))
    y = np.zeros((8, 1))
    row = np.zeros(8)
    # Centred on the query's points, so that the ridge means the same everywhere.
    cx = 0.0
    cy = 0.0
    for k in range(count):
        cx += q_geo[pairs[k, 0], 0] / count
        cy += q_geo[pairs[k, 0], 1] / count
    for k in range(count):
        qx = q_geo[pairs[k, 0], 0] - cx
        qy = q_geo[pairs[k, 0], 1] - cy
        for axis in range(2):
            to = b_geo[pairs[k, 1], axis]
            row[:] = 0.0
            row[3 * axis] = qx
            row[3 * axis + 1] = qy
            row[3 * axis + 2] = 1.0
            row[6] = -qx * to
            row[7] = -qy * to
            for r in range(8):
                for c in range(8):
                    a[r, c] += row[r] * row[c]
                y[r, 0] += row[r] * to
    a[6, 6] += ridge
    a[7, 7] += ridge
    m = np.zeros((3, 3))
    ok = solve(a, y)
    for r in range(3):
        for c in range(2):
            m[r, c] = y[3 * r + c, 0]
    m[0, 2] = y[2, 0]
    m[1, 2] = y[5, 0]
    m[2, 2] = 1.0
    for r in range(3):
        m[r, 2] -= m[r, 0] * cx + m[r, 1] * cy
    return ok, m


@njit(cache=True, nogil=True)
def sign_windows(
    pixels, starts, shapes, width, height, m, windows, basis, us, vs, signs, contrasts, inside
):
    """Sign the DCT of windows (x, y, width, height: bank units) seen through m (bank -> picture).

    signs uint32, contrasts float: root of mean AC energy, inside: every sample in the picture.
    """
    side = basis.shape[1]
    freqs = basis.shape[0]
    patch = np.empty((side, side))
    rowed = np.empty((freqs, side))
    for i in range(len(windows)):
        inside[i] = False
        signs[i] = 0
        contrasts[i] = 0.0
        x0, y0, w, h = windows[i]
        # The level whose pixels are as far apart as the samples.
        x = x0 + w / 2
        y = y0 + h / 2
        d = m[2, 0] * x + m[2, 1] * y + m[2, 2]
        if d < 0.1:
            continue
        px = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / d
        py = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / d
        jxx = (m[0, 0] - px * m[2, 0]) / d
        jxy = (m[0, 1] - px * m[2, 1]) / d
        jyx = (m[1, 0] - py * m[2, 0]) / d
        jyy = (m[1, 1] - py * m[2, 1]) / d
        area = abs(jxx * jyy - jxy * jyx) * w * h
        step = math.sqrt(area) / side * shapes[0, 1] / width
        level = int(min(max(round(2 * math.log2(max(step, 1e-6))), 0), len(starts) - 1))
        rows, columns = shapes[level]
        s = starts[level]
        ok = True
        for j in range(side):
            y = y0 + (j + 0.5) * h / side
            for k in range(side):
                x = x0 + (k + 0.5) * w / side
                d = m[2, 0] * x + m[2, 1] * y + m[2, 2]
                if d < 0.1:
                    ok = False
                    break
                px = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / d
                py = (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / d
                if px < 0 or py < 0 or px > width or py > height:
                    ok = False
                    break
                patch[j, k] = sample(
                    pixels, s, rows, columns, py / height * rows - 0.5, px / width * columns - 0.5
                )
            if not ok:
                break
        if not ok:
            continue
        for u in range(freqs):
            for k in range(side):
                t = 0.0
                for j in range(side):
                    t += basis[u, j] * patch[j, k]
                rowed[u, k] = t
        code = np.uint32(0)
        energy = 0.0
        for b in range(len(us)):
            t = 0.0
            for k in range(side):
                t += rowed[us[b], k] * basis[vs[b], k]
            energy += t * t
            if t > 0:
                code |= np.uint32(1) << np.uint32(b)
        signs[i] = code
        contrasts[i] = math.sqrt(energy) / side
        inside[i] = True
