"""The JSON files of a checkpoint, read with care."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sglang.srt.configs.errors import ModelLoadError

MAX_JSON_BYTES = 64 << 20
"""A larger configuration file is refused: real ones have a few kilobytes."""


def read_json(path: Path) -> Any:
    """The value in ``path``; ModelLoadError if the file is missing, too large or broken."""
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise ModelLoadError(f"{path} has {size} bytes; at most {MAX_JSON_BYTES} are read")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{path} does not exist: not a model folder") from None
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelLoadError(f"{path} is not valid JSON: {error}") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; ModelLoadError also if it is something else."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value
