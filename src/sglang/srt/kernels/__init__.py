"""The operations of a model, one implementation per device. See ``interface.Kernels``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from sglang.srt.kernels.interface import Kernels

logger = logging.getLogger(__name__)

CHOICES = ("cpu-c", "triton", "reference")


@dataclass(frozen=True, slots=True)
class TritonSettings:
    """See ``kernels.triton.attention.PagedAttention``."""

    num_kv_splits: int = 8
    reduce_in_fp32: bool = False
    shared_memory: int = 0
    """Bytes; 0: not known."""


def select_kernels(
    device: str,
    dtype: torch.dtype,
    *,
    prefer: str | None = None,
    settings: TritonSettings | None = None,
) -> Kernels:
    """The kernels to run on ``device`` ("cpu", "cuda", "cuda:0" ...) with activations of ``dtype``.

    Without ``prefer`` the fastest that works here; on a CPU without a usable C compiler, or on
    a GPU without Triton, one warning and the reference. ``prefer`` names one of ``CHOICES``: then
    that one or an error.

    Raises ValueError for an unknown ``prefer`` and for kernels that do not run on the device,
    KernelBuildError if "cpu-c" is asked for and cannot be built.
    """
    from sglang.srt.kernels.reference import ReferenceKernels

    if prefer is not None and prefer not in CHOICES:
        raise ValueError(f"prefer is {prefer!r}; known kernels: {', '.join(CHOICES)}")
    if prefer == "reference":
        return ReferenceKernels(device)
    on_cpu = device.partition(":")[0] == "cpu"
    if prefer == "cpu-c" and not on_cpu:
        raise ValueError(f"the kernels cpu-c do not run on device {device!r}")
    if prefer == "triton" or not on_cpu:
        if find_spec("triton") is not None:
            return _triton_kernels(device, settings or TritonSettings())
        if prefer == "triton":
            raise ValueError("the kernels triton need the package triton: pip install triton")
        logger.warning("triton is not installed: using the slow torch reference on %s", device)
        return ReferenceKernels(device)

    from sglang.srt.kernels.cpu.build import KernelBuildError
    from sglang.srt.kernels.cpu.checks import DTYPE_CODES
    from sglang.srt.kernels.cpu.kernels import CpuKernels

    if dtype not in DTYPE_CODES and prefer is None:
        logger.info("no C kernels for %s: using the torch reference", dtype)
        return ReferenceKernels(device)
    try:
        return CpuKernels()
    except KernelBuildError as error:
        if prefer == "cpu-c":
            raise
        logger.warning("C kernels are not available, using the slow torch reference: %s", error)
        return ReferenceKernels(device)


def _triton_kernels(device: str, settings: TritonSettings) -> Kernels:
    from sglang.srt.kernels.triton.kernels import TritonKernels

    return TritonKernels(device, settings)
