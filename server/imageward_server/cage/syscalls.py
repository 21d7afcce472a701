"""The system calls of a cell, by name and by machine.

Numbers are of the kernel's own tables: arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h, which is that of aarch64. A call that a machine does
not have is left out of its table.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Machine(NamedTuple):
    """What a filter must know of a machine.

    Attributes:
        audit_arch: AUDIT_ARCH_* of linux/audit.h.
        numbers: of its system calls, by name.
    """

    audit_arch: int
    numbers: dict[str, int]


PLAIN: Final = (
    "read",
    "write",
    "close",
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "futex",
    "rt_sigreturn",
    "rt_sigprocmask",
    "sched_yield",
    "getpid",
    "gettid",
    "exit",
    "exit_group",
    "clock_gettime",
    "gettimeofday",
    "getrandom",
    "restart_syscall",
)
"""Allowed: computing, memory, and the descriptors that a cell has."""

WITHOUT_EXECUTION: Final = ("mmap", "mprotect")
"""Allowed unless the memory would be executable: the third argument."""

TO_ITSELF: Final = ("tgkill",)
"""Allowed to the process itself, so that abort() ends it as abort() does."""

ANSWERED: Final = (
    "open",
    "openat",
    "stat",
    "lstat",
    "newfstatat",
    "fstat",
    "statx",
    "access",
    "readlink",
    "readlinkat",
    "lseek",
    "fcntl",
    "sysinfo",
    "uname",
    "sched_getaffinity",
    "getcpu",
)
"""Refused with an error that a library can live with: it may ask these in passing."""

MACHINES: Final = {
    "x86_64": Machine(
        0xC000003E,
        {
            "read": 0,
            "write": 1,
            "open": 2,
            "close": 3,
            "stat": 4,
            "fstat": 5,
            "lstat": 6,
            "lseek": 8,
            "mmap": 9,
            "mprotect": 10,
            "munmap": 11,
            "brk": 12,
            "rt_sigprocmask": 14,
            "rt_sigreturn": 15,
            "access": 21,
            "sched_yield": 24,
            "mremap": 25,
            "madvise": 28,
            "getpid": 39,
            "exit": 60,
            "uname": 63,
            "fcntl": 72,
            "readlink": 89,
            "gettimeofday": 96,
            "sysinfo": 99,
            "gettid": 186,
            "futex": 202,
            "sched_getaffinity": 204,
            "restart_syscall": 219,
            "clock_gettime": 228,
            "exit_group": 231,
            "tgkill": 234,
            "openat": 257,
            "newfstatat": 262,
            "readlinkat": 267,
            "getcpu": 309,
            "getrandom": 318,
            "statx": 332,
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        {
            "fcntl": 25,
            "openat": 56,
            "close": 57,
            "lseek": 62,
            "read": 63,
            "write": 64,
            "readlinkat": 78,
            "newfstatat": 79,
            "fstat": 80,
            "exit": 93,
            "exit_group": 94,
            "futex": 98,
            "clock_gettime": 113,
            "sched_getaffinity": 123,
            "sched_yield": 124,
            "restart_syscall": 128,
            "tgkill": 131,
            "rt_sigprocmask": 135,
            "rt_sigreturn": 139,
            "uname": 160,
            "getcpu": 168,
            "gettimeofday": 169,
            "getpid": 172,
            "gettid": 178,
            "sysinfo": 179,
            "brk": 214,
            "munmap": 215,
            "mremap": 216,
            "mmap": 222,
            "mprotect": 226,
            "madvise": 233,
            "getrandom": 278,
            "statx": 291,
        },
    ),
}
