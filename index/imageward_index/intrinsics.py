"""Machine instructions that numba does not offer by itself, through LLVM.

Owns six intrinsics and the one decorator that compiles kernels. They are
written in LLVM's portable vector types: LLVM turns them into AVX-512, AVX2 or
NEON instructions as the machine has them. It knows nothing of codes or slices.
"""

# ruff: noqa: ANN401  numba's and llvmlite's objects have no types to name.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32
"""Sketches that one call of `near_lanes` compares: 32 of 16 bits, a cache line."""

HALF_LANES = 16
"""Sketches that one call of `near_halves` compares: 16 of 32 bits, a cache line."""

WORD_LANES = 8
"""Words that one call of `near_words` compares."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

_COMMON: dict[str, Any] = {"nogil": True, "cache": True}
_WITHOUT_RUNTIME: dict[str, Any] = {**_COMMON, "_nrt": False}

_I1 = ir.IntType(1)
_I8 = ir.IntType(8)
_I32 = ir.IntType(32)
_SKETCHES = ir.VectorType(ir.IntType(16), LANES)
_HALVES = ir.VectorType(ir.IntType(32), HALF_LANES)
_WORDS = ir.VectorType(ir.IntType(64), WORD_LANES)


def kernel(function: _Function) -> _Function:
    """Compile with numba: without the GIL, kept on disk, one thread.

    The kept code is found again by the function's own file, its time stamp and the
    processor: another machine compiles anew, and so does a changed file, but a
    kernel does not see that a file it takes a constant or an intrinsic from has
    changed. An installation writes all files; who edits one touches the others.

    The numba runtime is off: a kernel allocates nothing, and passing arrays from
    kernel to kernel costs no atomic reference count, which had made searches half
    as fast.
    """
    return cast("_Function", njit(**_WITHOUT_RUNTIME)(function))


def inlined(function: _Function) -> _Function:
    """Compile like `kernel`, but copied into its callers: for what inner loops call.

    Named tuples of arrays are passed as dozens of words, which takes longer
    than a small function runs.
    """
    return cast("_Function", njit(**_WITHOUT_RUNTIME, inline="always")(function))


def entrance(function: _Function) -> _Function:
    """Compile like `kernel`, but able to allocate: for what Python calls.

    None is compiled with fast-math: the order of sums is part of what makes a fingerprint
    repeatable.
    """
    return cast("_Function", njit(**_COMMON)(function))


def _instruction(typing_and_code: Callable[..., Any]) -> Callable[..., int]:
    """Make an intrinsic of a function that returns numba's signature and code generator."""
    return cast("Callable[..., int]", intrinsic(typing_and_code))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Return the address of `array[index]`, unchecked and not wrapped around."""
    made = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(
        context, builder, array_type, made, [index], wraparound=False, boundscheck=False
    )


@_instruction
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


@_instruction
def popcount(_typing: Any, _word: Any) -> Any:
    """Count the bits set in a uint64, as an int64."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@_instruction
def lowest_bit(_typing: Any, _word: Any) -> Any:
    """Return the position of the lowest bit set in a uint64 that is not zero."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], _I1(1))

    return types.int64(types.uint64), generate


def _near(context: Any, builder: Any, signature: Any, args: Any, line: Any) -> Any:
    """Generate: load a vector of the type `line`, tell which lanes are near a value.

    The arguments are an array, an index, the value, and the bits a lane may differ by.
    """
    pointer = _pointer(context, builder, signature.args[0], *args[:2])
    lane_bytes = line.element.width // 8
    loaded = builder.load(builder.bitcast(pointer, line.as_pointer()), align=lane_bytes)
    value, most = (_splat(builder, argument, line) for argument in args[2:])
    name = f"llvm.ctpop.v{line.count}i{line.element.width}"
    count = cgutils.get_or_insert_function(builder.module, ir.FunctionType(line, [line]), name)
    differing = builder.call(count, [builder.xor(loaded, value)])
    near = builder.icmp_unsigned("<=", differing, most)
    return builder.zext(builder.bitcast(near, ir.IntType(line.count)), ir.IntType(64))


def _splat(builder: Any, value: Any, line: Any) -> Any:
    """Copy one value into every lane."""
    nothing = ir.Constant(line, ir.Undefined)
    first = builder.insert_element(nothing, value, _I32(0))
    everywhere = ir.Constant(ir.VectorType(_I32, line.count), [0] * line.count)
    return builder.shuffle_vector(first, nothing, everywhere)


@_instruction
def near_lanes(_typing: Any, sketches: Any, _first: Any, _sketch: Any, _most: Any) -> Any:
    """Compare the 32 sketches from `sketches[first]` on with one sketch.

    Bit i of the returned uint64 is set when `sketches[first + i] ^ sketch` has
    at most `most` bits set. All 64 bytes are read: the array must reach so far.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _near(context, builder, signature, args, _SKETCHES)

    return types.uint64(sketches, types.intp, types.uint16, types.uint16), generate


@_instruction
def near_halves(_typing: Any, halves: Any, _first: Any, _half: Any, _most: Any) -> Any:
    """Compare the 16 half words from `halves[first]` on with one, as `near_lanes` does."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _near(context, builder, signature, args, _HALVES)

    return types.uint64(halves, types.intp, types.uint32, types.uint32), generate


@_instruction
def near_words(_typing: Any, words: Any, _first: Any, _word: Any, _most: Any) -> Any:
    """Compare the 8 words from `words[first]` on with one word, as `near_lanes` does."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _near(context, builder, signature, args, _WORDS)

    return types.uint64(words, types.intp, types.uint64, types.uint64), generate
