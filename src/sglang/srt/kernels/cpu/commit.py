"""Has the system commit memory before it is written. No torch: it is used while torch is imported.

The first write to a page waits for the system to find and clear it: for weights that can take
longer than reading them, for keys and values of a prompt a tenth of the time of computing them.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import threading

HUGE_PAGE = 2 << 20
_PAGE = 4096
_STEP = 16 << 20
_MADV_POPULATE_WRITE = 23
"""Since Linux 5.14: commit pages and leave what they hold."""


def commit(address: int, size: int) -> bool:
    """Commit the pages of ``size`` bytes from ``address`` on; False where the system cannot."""
    try:
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError, TypeError):  # not a system of this kind
        return False
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    first = address // _PAGE * _PAGE
    done: int = madvise(first, address + size - first, _MADV_POPULATE_WRITE)
    return done == 0


def map_huge_pages(size: int) -> mmap.mmap:
    """Memory with room for ``size`` bytes from the first multiple of ``HUGE_PAGE`` on.

    Where the system offers no huge pages it is ordinary. Pages are committed when they are first
    written, or by :func:`commit`.
    """
    length = -(-size // HUGE_PAGE) * HUGE_PAGE + HUGE_PAGE
    # Shared memory, the default, has huge pages on few systems.
    mapping = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError, AttributeError):  # not on this system
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping


def commit_beside(size: int) -> mmap.mmap:
    """Like :func:`map_huge_pages`; a thread commits it from beginning to end."""
    mapping = map_huge_pages(size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))

    def run() -> None:
        for start in range(0, len(mapping), _STEP):
            if not commit(address + start, min(_STEP, len(mapping) - start)):
                return

    threading.Thread(target=run, name="commit", daemon=True).start()
    return mapping
