"""The filter of system calls: a program for the kernel's BPF machine, and its installation.

After Documentation/userspace-api/seccomp_filter.rst of the kernel; the opcodes are of
linux/bpf_common.h, the actions of linux/seccomp.h. A program is a list of instructions of
eight bytes over `struct seccomp_data`: the call's number, the machine, the instruction
pointer, six arguments of 64 bits. It is written out here because the bindings that pip
offers need a library of the system that pip does not bring.

What is not allowed ends the process: a cell that tries has been taken over. It knows
nothing of what the calls are for; `syscalls` says.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from typing import Final

from imageward_server.cage.syscalls import (
    ANSWERED,
    MACHINES,
    PLAIN,
    TO_ITSELF,
    WITHOUT_EXECUTION,
    Machine,
)

# struct sock_filter: opcode, jump if true, jump if false, operand.
_INSTRUCTION: Final = struct.Struct("=HBBI")
_LOAD: Final = 0x20
_IF_EQUAL: Final = 0x15
_IF_AT_LEAST: Final = 0x35
_IF_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06

# Offsets in struct seccomp_data; of the arguments the lower half, both machines being
# little endian.
_NUMBER: Final = 0
_ARCH: Final = 4
_FIRST_ARGUMENT: Final = 16
_THIRD_ARGUMENT: Final = 32

_KILL_PROCESS: Final = 0x80000000
_ALLOW: Final = 0x7FFF0000
_ANSWER: Final = 0x00050000 | errno.EACCES

_PROT_EXEC: Final = 4
# Numbers from here on are those of x86-64 with pointers of 32 bits.
_X32: Final = 0x40000000

_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install(pid: int) -> bool:
    """Filter the system calls of this process, which must have one thread, from now on.

    PR_SET_NO_NEW_PRIVS must be set. There is no way back.

    Args:
        pid: of this process: the one that it may send signals to.

    Returns:
        Whether the calls are filtered: not on other systems and machines, nor where the
        kernel or whoever started the process forbids it.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None or sys.platform != "linux":
        return False
    code = ctypes.create_string_buffer(build_program(machine, pid))
    length = len(code) // _INSTRUCTION.size
    program = _Program(length, ctypes.cast(code, ctypes.c_void_p))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return bool(prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def build_program(machine: Machine, pid: int) -> bytes:
    """Write the filter for a machine and a process."""
    numbers = machine.numbers
    program = [
        _is(_LOAD, _ARCH),
        _is(_IF_EQUAL, machine.audit_arch, 1, 0),
        _is(_RETURN, _KILL_PROCESS),
        _is(_LOAD, _NUMBER),
        _is(_IF_AT_LEAST, _X32, 0, 1),
        _is(_RETURN, _KILL_PROCESS),
    ]
    for action, names in ((_ALLOW, PLAIN), (_ANSWER, ANSWERED)):
        for name in names:
            if name in numbers:
                program += [_is(_IF_EQUAL, numbers[name], 0, 1), _is(_RETURN, action)]
    for name in WITHOUT_EXECUTION:
        refused = _is(_IF_ANY_BIT, _PROT_EXEC, 1, 0)
        program += _with_argument(numbers[name], _THIRD_ARGUMENT, refused)
    for name in TO_ITSELF:
        itself = _is(_IF_EQUAL, pid, 0, 1)
        program += _with_argument(numbers[name], _FIRST_ARGUMENT, itself)
    return b"".join([*program, _is(_RETURN, _KILL_PROCESS)])


def _with_argument(number: int, argument: int, test: bytes) -> list[bytes]:
    """Allow a call unless the test of an argument jumps over the next instruction."""
    return [
        _is(_IF_EQUAL, number, 0, 4),
        _is(_LOAD, argument),
        test,
        _is(_RETURN, _ALLOW),
        _is(_RETURN, _KILL_PROCESS),
    ]


def _is(opcode: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return _INSTRUCTION.pack(opcode, if_true, if_false, operand)
