"""The operations of a model, one implementation per device. See ``interface.Kernels``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from sglang.srt.kernels.interface import Kernels

logger = logging.getLogger(__name__)

CHOICES = ("cpu-c", "reference")


def select_kernels(device: str, dtype: torch.dtype, *, prefer: str | None = None) -> Kernels:
    """The kernels to run on ``device`` ("cpu", "cuda", "cuda:0" ...) with activations of ``dtype``.

    Without ``prefer`` the fastest that works here; on a CPU without a usable C compiler one
    warning and the reference. ``prefer`` names one of ``CHOICES``: then that one or an error.

    Raises ValueError for an unknown ``prefer``, KernelBuildError if "cpu-c" is asked for and
    cannot be built.
    """
    from sglang.srt.kernels.reference import ReferenceKernels

    if prefer is not None and prefer not in CHOICES:
        raise ValueError(f"prefer is {prefer!r}; known kernels: {', '.join(CHOICES)}")
    if prefer == "reference":
        return ReferenceKernels(device)
    if device.partition(":")[0] != "cpu":
        if prefer == "cpu-c":
            raise ValueError(f"the kernels cpu-c do not run on device {device!r}")
        logger.info("no kernels for device %s yet: using the torch reference", device)
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
