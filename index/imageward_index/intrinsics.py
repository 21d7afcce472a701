"""Machine instructions that numba does not offer by itself, through LLVM.

Owns four intrinsics and the one decorator that compiles kernels. They are
written in LLVM's portable vector types: LLVM turns them into AVX-512, AVX2 or
NEON instructions as the machine has them. It knows nothing of codes or slices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32
"""Sketches that one call of `near_lanes` compares: 32 of 16 bits, a cache line."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

_I1 = ir.IntType(1)
_I8 = ir.IntType(8)
_I32 = ir.IntType(32)
_LINE = ir.VectorType(ir.IntType(16), LANES)


def kernel(function: _Function) -> _Function:
    """Compile with numba: without the GIL, kept on disk, one thread.

    The kept code is found again by source file, time stamp and processor, so a
    changed file or another machine compiles anew. The numba runtime is off: a
    kernel allocates nothing, and passing arrays from kernel to kernel costs no
    atomic reference count, which had made searches half as fast.
    """
    return cast("_Function", njit(nogil=True, cache=True, _nrt=False)(function))


def inlined(function: _Function) -> _Function:
    """Compile like `kernel`, but copied into its callers: for what inner loops call.

    Named tuples of arrays are passed as dozens of words, which takes longer
    than a small function runs.
    """
    return cast("_Function", njit(nogil=True, cache=True, _nrt=False, inline="always")(function))


def entrance(function: _Function) -> _Function:
    """Compile like `kernel`, but able to allocate: for what Python calls."""
    return cast("_Function", njit(nogil=True, cache=True)(function))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Return the address of `array[index]`, unchecked and not wrapped around."""
    made = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(
        context, builder, array_type, made, [index], wraparound=False, boundscheck=False
    )


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def prefetch(_typing: Any, array: Any, _index: Any) -> Any:
    """Ask for the cache line of `array[index]`; any index is safe, even outside."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.bitcast(
            _pointer(context, builder, signature.args[0], *args), _I8.as_pointer()
        )
        shape = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        instruction = cgutils.get_or_insert_function(builder.module, shape, "llvm.prefetch.p0")
        read, keep, data = _I32(0), _I32(3), _I32(1)
        builder.call(instruction, [pointer, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def popcount(_typing: Any, _word: Any) -> Any:
    """Count the bits set in a uint64, as an int64."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def lowest_bit(_typing: Any, _word: Any) -> Any:
    """Return the position of the lowest bit set in a uint32 that is not zero."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], _I1(1))

    return types.uint32(types.uint32), generate


def _splat(builder: Any, value: Any) -> Any:
    """Copy one 16-bit value into every lane."""
    nothing = ir.Constant(_LINE, ir.Undefined)
    first = builder.insert_element(nothing, value, _I32(0))
    everywhere = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, everywhere)


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def near_lanes(_typing: Any, sketches: Any, _first: Any, _sketch: Any, _most: Any) -> Any:
    """Compare the 32 sketches from `sketches[first]` on with one sketch.

    Bit i of the returned uint32 is set when `sketches[first + i] ^ sketch` has
    at most `most` bits set. All 64 bytes are read: the array must reach so far.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        line = builder.load(builder.bitcast(pointer, _LINE.as_pointer()), align=2)
        sketch, most = (_splat(builder, value) for value in args[2:])
        shape = ir.FunctionType(_LINE, [_LINE])
        count = cgutils.get_or_insert_function(builder.module, shape, f"llvm.ctpop.v{LANES}i16")
        differing = builder.call(count, [builder.xor(line, sketch)])
        return builder.bitcast(builder.icmp_unsigned("<=", differing, most), _I32)

    return types.uint32(sketches, types.intp, types.uint16, types.uint16), generate
