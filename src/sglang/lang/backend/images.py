"""Images as backends take them: by URL, or with their bytes in base64."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from sglang.lang.errors import BackendError

_LONGEST_PATH = 4096

# What files begin with, and their types.
_SIGNATURES = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"))


def url_or_base64(source: str | bytes) -> str:
    """A URL as it is; a file, bytes or base64 text as base64 text.

    Raises:
        BackendError: it is none of these.
    """
    if isinstance(source, bytes):
        return base64.b64encode(source).decode()
    if _is_url(source):
        return source
    if len(source) < _LONGEST_PATH and Path(source).is_file():
        return base64.b64encode(Path(source).read_bytes()).decode()
    try:
        base64.b64decode(source, validate=True)
    except ValueError:
        raise BackendError(
            f"the image {source[:80]!r} is neither a file, nor a URL, nor base64 text"
        ) from None
    return source


@dataclass(frozen=True, slots=True)
class Inline:
    """The bytes of an image file as base64 text, and their type, like ``image/png``."""

    media_type: str
    base64: str


def url_or_inline(source: str | bytes) -> str | Inline:
    """A URL as it is; anything else, also a ``data:`` URL, with its bytes.

    Raises like :func:`url_or_base64`.
    """
    text = url_or_base64(source)
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        return Inline(head[len("data:") :].partition(";")[0], text)
    if _is_url(text):
        return text
    start = base64.b64decode(text[:16])
    kind = next((kind for mark, kind in _SIGNATURES if start.startswith(mark)), "png")
    return Inline(f"image/{kind}", text)


def as_url(source: str | bytes) -> str:
    """A URL as it is; anything else as a ``data:`` URL. Raises like :func:`url_or_base64`."""
    image = url_or_inline(source)
    if isinstance(image, str):
        return image
    return f"data:{image.media_type};base64,{image.base64}"


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://", "data:"))
