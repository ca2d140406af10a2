"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from storage_helpers import FAST


@pytest.fixture
def fast_path() -> Iterator[Path]:
    """A temporary folder in memory."""
    with TemporaryDirectory(dir=FAST) as folder:
        yield Path(folder)
