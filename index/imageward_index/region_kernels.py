"""Compiled loops over the levels of a pyramid: extrema, orientations, patch codes, windows."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def sample(pixels, start, rows, columns, y, x):
    y = min(max(y, 0.0), rows - 1.000001)
    x = min(max(x, 0.0), columns - 1.000001)
    r = int(y)
    c = int(x)
    fy = y - r
    fx = x - c
    at = start + r * columns + c
    right = 1 if c + 1 < columns else 0
    down = columns if r + 1 < rows else 0
    top = pixels[at] + (pixels[at + right] - pixels[at]) * fx
    bottom = pixels[at + down] + (pixels[at + down + right] - pixels[at + down]) * fx
    return top + (bottom - top) * fy


@njit(cache=True, nogil=True)
def find_extrema(edges, starts, shapes, threshold, margin, edge_ratio, out):
    """Fill rows of (level, y, x, level offset, strength); level pixels."""
    n = 0
    for level in range(1, len(starts) - 1):
        rows, columns = shapes[level]
        s = starts[level]
        for r in range(margin, rows - margin):
            for c in range(margin, columns - margin):
                at = s + r * columns + c
                v = edges[at]
                sign = 1.0 if v > 0 else -1.0
                a = v * sign
                if a < threshold:
                    continue
                if not (
                    a > sign * edges[at - 1]
                    and a >= sign * edges[at + 1]
                    and a > sign * edges[at - columns]
                    and a >= sign * edges[at + columns]
                    and a > sign * edges[at - columns - 1]
                    and a >= sign * edges[at + columns + 1]
                    and a > sign * edges[at - columns + 1]
                    and a >= sign * edges[at + columns - 1]
                ):
                    continue
                v = sign
                dxx = sign * (edges[at + 1] + edges[at - 1]) - 2 * a
                dyy = sign * (edges[at + columns] + edges[at - columns]) - 2 * a
                dxy = sign * 0.25 * (
                    edges[at + columns + 1]
                    + edges[at - columns - 1]
                    - edges[at + columns - 1]
                    - edges[at - columns + 1]
                )
                det = dxx * dyy - dxy * dxy
                tr = dxx + dyy
                if det <= 0 or tr * tr * edge_ratio >= (edge_ratio + 1) ** 2 * det:
                    continue
                dx = sign * 0.5 * (edges[at + 1] - edges[at - 1])
                dy = sign * 0.5 * (edges[at + columns] - edges[at - columns])
                ox = -(dyy * dx - dxy * dy) / det
                oy = -(dxx * dy - dxy * dx) / det
                ox = min(max(ox, -0.6), 0.6)
                oy = min(max(oy, -0.6), 0.6)
                y = r + oy
                x = c + ox
                below = sign * at_level(edges, starts, shapes, level, level - 1, y, x)
                above = sign * at_level(edges, starts, shapes, level, level + 1, y, x)
                if below > a or above > a:
                    continue
                bend = below + above - 2 * a
                o = 0.0 if bend >= 0 else 0.5 * (below - above) / bend
                if n < len(out):
                    out[n, 0] = level
                    out[n, 1] = y
                    out[n, 2] = x
                    out[n, 3] = min(max(o, -0.5), 0.5)
                    out[n, 4] = a
                    n += 1
    return n


@njit(cache=True, nogil=True)
def at_level(edges, starts, shapes, level, other, y, x):
    oy = (y + 0.5) * shapes[other, 0] / shapes[level, 0] - 0.5
    ox = (x + 0.5) * shapes[other, 1] / shapes[level, 1] - 0.5
    return sample(edges, starts[other], shapes[other, 0], shapes[other, 1], oy, ox)


@njit(cache=True, nogil=True)
def describe(pixels, starts, shapes, points, half_width, ring, basis, us, vs, angles, codes):
    side = basis.shape[1]
    freqs = basis.shape[0]
    patch = np.empty((side, side))
    rowed = np.empty((freqs, side))
    for i in range(len(points)):
        level = int(points[i, 0])
        rows, columns = shapes[level]
        s = starts[level]
        y0 = points[i, 1]
        x0 = points[i, 2]
        grow = 2.0 ** (points[i, 3] / 2)
        step = 2 * half_width / side * grow
        mx = 0.0
        my = 0.0
        for j in range(side):
            dy = j - (side - 1) / 2
            for k in range(side):
                dx = k - (side - 1) / 2
                if dx * dx + dy * dy > ring * ring:
                    continue
                v = sample(pixels, s, rows, columns, y0 + dy * step, x0 + dx * step)
                mx += dx * v
                my += dy * v
        angle = math.atan2(my, mx)
        angles[i] = angle
        ca = math.cos(angle) * step
        sa = math.sin(angle) * step
        for j in range(side):
            dy = j - (side - 1) / 2
            for k in range(side):
                dx = k - (side - 1) / 2
                patch[j, k] = sample(
                    pixels, s, rows, columns, y0 + sa * dx + ca * dy, x0 + ca * dx - sa * dy
                )
        for u in range(freqs):
            for k in range(side):
                t = 0.0
                for j in range(side):
                    t += basis[u, j] * patch[j, k]
                rowed[u, k] = t
        code = np.uint64(0)
        for b in range(len(us)):
            t = 0.0
            for k in range(side):
                t += rowed[us[b], k] * basis[vs[b], k]
            if t > 0:
                code |= np.uint64(1) << np.uint64(b)
        codes[i] = code
