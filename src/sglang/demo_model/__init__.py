"""The small chat model that ships with the package: it lets the server run without downloads."""

from __future__ import annotations

from pathlib import Path


def demo_model_path() -> str:
    """Folder of the demo model, to be given as a model path."""
    return str(Path(__file__).resolve().parent)
