"""The filter: its numbers are the kernel's, and a simulation of it lets nothing else through."""

from __future__ import annotations

import ctypes
import ctypes.util
import struct

import pytest

from imageward_server.cage.seccomp import build_program
from imageward_server.cage.syscalls import (
    ANSWERED,
    MACHINES,
    PLAIN,
    TO_ITSELF,
    WITHOUT_EXECUTION,
)

ALLOW, KILL, ANSWER = 0x7FFF0000, 0x80000000, 0x0005000D
PID = 4711
ALLOWED = {*PLAIN, *WITHOUT_EXECUTION, *TO_ITSELF}


def run(program: bytes, number: int, arch: int, *arguments: int) -> int:
    """Run a filter as the kernel does, over one call; returns its action."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *(*arguments, *[0] * (6 - len(arguments))))
    instructions = list(struct.iter_unpack("=HBBI", program))
    position, accumulator = 0, 0
    while True:
        opcode, if_true, if_false, operand = instructions[position]
        position += 1
        match opcode:
            case 0x20:
                accumulator = int.from_bytes(data[operand : operand + 4], "little")
            case 0x06:
                return int(operand)
            case 0x15 | 0x35 | 0x45:
                holds = {
                    0x15: accumulator == operand,
                    0x35: accumulator >= operand,
                    0x45: bool(accumulator & operand),
                }[opcode]
                position += if_true if holds else if_false


@pytest.mark.parametrize("name", MACHINES)
def test_the_numbers_are_the_kernel_s(name: str) -> None:
    """libseccomp, where it is installed, knows each call by the same number."""
    path = ctypes.util.find_library("seccomp")
    if path is None:
        pytest.skip("libseccomp is not installed")
    resolve = ctypes.CDLL(path).seccomp_syscall_resolve_name_arch
    machine = MACHINES[name]
    known = {
        call: resolve(ctypes.c_uint32(machine.audit_arch), call.encode())
        for call in machine.numbers
    }
    assert machine.numbers == known


@pytest.mark.parametrize("name", MACHINES)
def test_only_what_is_named_passes(name: str) -> None:
    """Of all numbers up to 1,000, and those with the x32 bit, the named ones are allowed."""
    machine = MACHINES[name]
    program = build_program(machine, PID)
    passed = {
        number
        for start in (0, 0x40000000)
        for number in range(start, start + 1_000)
        if run(program, number, machine.audit_arch, PID) == ALLOW
    }
    answered = {
        number for number in range(1_000) if run(program, number, machine.audit_arch) == ANSWER
    }
    named = {number for call, number in machine.numbers.items() if call in ALLOWED}
    assert passed == named
    assert answered == {number for call, number in machine.numbers.items() if call in ANSWERED}


@pytest.mark.parametrize("name", MACHINES)
def test_another_machine_is_killed(name: str) -> None:
    """Calls by the numbers of another machine, such as 32-bit x86, end the process."""
    program = build_program(MACHINES[name], PID)
    assert run(program, MACHINES[name].numbers["read"], 0x40000003) == KILL


@pytest.mark.parametrize("call", WITHOUT_EXECUTION)
@pytest.mark.parametrize("name", MACHINES)
def test_memory_cannot_become_code(name: str, call: str) -> None:
    """Memory is mapped to read and write; a map to execute ends the process."""
    machine = MACHINES[name]
    program = build_program(machine, PID)
    number = machine.numbers[call]
    actions = [run(program, number, machine.audit_arch, 0, 4096, flags) for flags in range(8)]
    assert actions == [ALLOW] * 4 + [KILL] * 4


@pytest.mark.parametrize("name", MACHINES)
def test_signals_go_to_itself_alone(name: str) -> None:
    """A process may abort, and signal no other."""
    machine = MACHINES[name]
    program = build_program(machine, PID)
    number = machine.numbers["tgkill"]
    assert run(program, number, machine.audit_arch, PID) == ALLOW
    assert run(program, number, machine.audit_arch, PID + 1) == KILL
