"""Memory of the KV pool is committed before it is used, and keeps what it holds."""

from __future__ import annotations

import ctypes
import mmap
import sys
import time

import pytest
import torch

from sglang.srt.kernels.cpu.huge_pages import HugePages
from sglang.srt.mem_cache import commit_ahead
from sglang.srt.mem_cache.commit_ahead import CommitAhead

SLOTS = 4096
ROW = 2048


def resident_bytes(tensor: torch.Tensor) -> int:
    """How much of a tensor has memory."""
    page = mmap.PAGESIZE
    first = tensor.data_ptr() // page * page
    pages = -(-(tensor.data_ptr() + tensor.nbytes - first) // page)
    resident = (ctypes.c_ubyte * pages)()
    mincore = ctypes.CDLL(None).mincore
    mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    assert mincore(first, pages * page, resident) == 0
    return sum(byte & 1 for byte in resident) * page


def wait_for(committer: CommitAhead, slots: int) -> None:
    end = time.monotonic() + 60
    while committer.committed < slots:
        assert time.monotonic() < end, f"only {committer.committed} slots were committed"
        time.sleep(0.01)


@pytest.fixture
def tensor() -> torch.Tensor:
    """In a mapping of its own, as the arrays of a pool are."""
    return HugePages().empty((SLOTS * 16, ROW), torch.uint8)[:SLOTS]


linux = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(mmap, "MADV_HUGEPAGE"), reason="asks Linux"
)


@linux
def test_commits_only_so_much_ahead(tensor: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_ahead, "AHEAD_BYTES", 1 << 20)
    committer = CommitAhead([tensor])
    committer.beyond(0)
    wait_for(committer, 512)
    assert committer.committed <= 512 + 1024  # a chunk of 2 MiB more at most
    assert 1 << 20 <= resident_bytes(tensor) <= 8 << 20


@linux
def test_goes_on_where_more_was_used(tensor: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_ahead, "AHEAD_BYTES", 1 << 20)
    committer = CommitAhead([tensor])
    committer.beyond(0)
    committer.beyond(SLOTS)
    wait_for(committer, SLOTS)


@linux
def test_keeps_what_the_slots_hold(tensor: torch.Tensor) -> None:
    tensor[7] = 123
    committer = CommitAhead([tensor])
    committer.beyond(0)
    wait_for(committer, SLOTS)
    assert (tensor[7] == 123).all()
    assert not tensor[8:].any()
