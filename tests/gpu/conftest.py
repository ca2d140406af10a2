"""Triton's interpreter, where there is no GPU: the kernels run on CPU tensors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest
import torch

if not torch.cuda.is_available():
    # Read when kernels are defined, so before anything imports them.
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def quiet_interpreter() -> Iterator[None]:
    """What is no number is told by NumPy, in which the interpreter computes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
