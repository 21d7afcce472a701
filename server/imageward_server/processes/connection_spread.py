"""Which worker gets the next connection: in turn, by a program in the kernel.

The kernel chooses among the sockets that listen on one port by a hash of the addresses,
so of 32 connections one of two workers often has half as many again as the other. Linux
lets the owner of such sockets choose instead (SO_ATTACH_REUSEPORT_EBPF, socket(7)):

1. eBPF with a counter: strictly in turn. It needs CAP_BPF, which containers rarely have.
2. Classic BPF, which anybody may attach and which remembers nothing: by blocks of the
   client's port. Linux gives a host's connections rising ports, 2 to 16 apart, so that
   consecutive blocks hold about as many connections each.

Both name a socket by its place in the kernel's list. A place that is not there, while a
worker is being replaced, falls back to the hash.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_SYSCALL_BPF = {"x86_64": 321, "aarch64": 280}
_ATTACH_CLASSIC = 51
_ATTACH_EXTENDED = 52
# Of bpf(2): commands, types, and the size of the attributes that any kernel reads.
_MAP_CREATE, _PROG_LOAD = 0, 5
_MAP_ARRAY, _PROG_SOCKET_FILTER = 2, 1
_ATTR_BYTES = 120
# Where classic BPF finds the network header of the packet; IPv4 without options has 20 bytes.
_NETWORK_HEADER = 0xFFF00000
_IPV4_BYTES = 20
_IPV6_BYTES = 40
# Ports of consecutive connections are 9 apart in the mean: two connections a block.
_PORTS_A_BLOCK = 16


def spread_connections(port: int, workers: int) -> str:
    """Spread the connections to a port of this process over all workers.

    Args:
        port: where this process listens, with SO_REUSEPORT.
        workers: how many processes do.

    Returns:
        How it is done: `turn`, `port` or, where the kernel offers neither, `hash`.
    """
    if not hasattr(socket, "SO_REUSEPORT") or platform.system() != "Linux" or workers == 1:
        return "hash"
    for way, attach in (("turn", _attach_turn), ("port", _attach_port)):
        with contextlib.suppress(OSError):
            for listener in _listeners(port):
                attach(listener, workers)
            return way
    return "hash"


def _listeners(port: int) -> Iterator[socket.socket]:
    """Find the sockets of this process that listen on a port: gRPC does not show its own."""
    for path in list(Path("/proc/self/fd").iterdir()):
        try:
            found = socket.socket(fileno=os.dup(int(path.name)))
        except OSError:
            continue  # no socket, or closed since it was listed
        with found:
            if _listens(found) and found.getsockname()[1] == port:
                yield found


def _listens(found: socket.socket) -> bool:
    inet = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    return inet and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _attach_turn(listener: socket.socket, workers: int) -> None:
    counter = _bpf(_MAP_CREATE, struct.pack("=IIII", _MAP_ARRAY, 4, 8, 1))
    try:
        program = _load(_turn_program(counter, workers))
    finally:
        os.close(counter)  # the program keeps it
    try:
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_EXTENDED, program)
    finally:
        os.close(program)  # the sockets keep it


def _turn_program(counter: int, workers: int) -> bytes:
    """Write `return counter++ % workers` for the kernel's machine."""
    instructions = (
        (0x62, 10, 0, -4, 0),  # the key 0, on the stack
        (0xBF, 2, 10, 0, 0),  # r2 = the stack's end
        (0x07, 2, 0, 0, -4),  # r2 = address of the key
        (0x18, 1, 1, 0, counter),  # r1 = the map, in two instructions
        (0x00, 0, 0, 0, 0),
        (0x85, 0, 0, 0, 1),  # r0 = map_lookup_elem(r1, r2)
        (0x15, 0, 0, 4, 0),  # if r0 == 0, which never is: leave
        (0xB7, 1, 0, 0, 1),  # r1 = 1
        (0xDB, 0, 1, 0, 1),  # r1 = fetch_and_add(*r0, r1)
        (0x97, 1, 0, 0, workers),  # r1 %= workers
        (0xBF, 0, 1, 0, 0),  # r0 = r1
        (0x95, 0, 0, 0, 0),  # leave
    )
    return b"".join(
        struct.pack("=BBhi", code, target | source << 4, offset, value)
        for code, target, source, offset, value in instructions
    )


def _load(program: bytes) -> int:
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "=IIQQ",
        _PROG_SOCKET_FILTER,
        len(program) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
    )
    return _bpf(_PROG_LOAD, attributes)


def _bpf(command: int, attributes: bytes) -> int:
    """Call bpf(2); return a file descriptor."""
    number = _SYSCALL_BPF.get(platform.machine())
    if number is None:
        raise OSError("the number of bpf(2) on this processor is not known")
    padded = ctypes.create_string_buffer(attributes, _ATTR_BYTES)
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, command, padded, _ATTR_BYTES)
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf(2)")
    return result


def _attach_port(listener: socket.socket, workers: int) -> None:
    instructions = (
        (0x30, 0, 0, _NETWORK_HEADER),  # A = first byte of the IP header
        (0x74, 0, 0, 4),  # A >>= 4: the version
        (0x15, 2, 0, 6),  # if A == 6: skip two
        (0x28, 0, 0, _NETWORK_HEADER + _IPV4_BYTES),  # A = the client's port
        (0x05, 0, 0, 1),  # skip one
        (0x28, 0, 0, _NETWORK_HEADER + _IPV6_BYTES),  # A = the client's port
        (0x34, 0, 0, _PORTS_A_BLOCK),  # A /= ports a block
        (0x94, 0, 0, workers),  # A %= workers
        (0x16, 0, 0, 0),  # return A
    )
    program = b"".join(struct.pack("=HBBI", *one) for one in instructions)
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HP", len(instructions), ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH_CLASSIC, described)
