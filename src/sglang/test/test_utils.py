"""What the examples of the documentation ask about the place where they run."""

from __future__ import annotations

import os

__test__ = False  # the name looks like a test module to pytest


def is_in_ci() -> bool:
    """Whether SGLANG_IS_IN_CI says that this is a run of continuous integration."""
    return os.environ.get("SGLANG_IS_IN_CI", "").strip().lower() in {"1", "true", "yes", "on"}
