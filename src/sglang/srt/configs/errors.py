"""The one error of everything that reads a model's files."""

from __future__ import annotations


class ModelLoadError(ValueError):
    """A checkpoint cannot be used; the message is one line that names what and where."""
