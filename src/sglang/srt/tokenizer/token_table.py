"""What each single token contributes to a text, found out from the tokenizer's decoder.

A decoder turns a whole sequence of tokens into text. For most tokenizers in use that is a
concatenation of one contribution per token, so streaming needs no re-decoding:

=============  ===================================================  ==========================
kind           decoder in ``tokenizer.json``                        a token contributes
=============  ===================================================  ==========================
BYTES          ByteLevel (GPT-2, Llama 3, Qwen, DeepSeek)           bytes of UTF-8
SENTENCEPIECE  Replace, ByteFallback, Fuse[, Strip] (Llama 2,       text, or one byte of a run
               Mistral, Gemma)
PIECES         Metaspace (T5), WordPiece (BERT), none               text; another one if first
WINDOW         anything else                                        depends on its neighbours
=============  ===================================================  ==========================

The byte alphabet is that of GPT-2: printable Latin-1 characters stand for themselves, the
other bytes for the characters from U+0100 on, in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, TypeVar

from sglang.srt.tokenizer.backends import Backend

V = TypeVar("V")

_MAX_ENTRIES = 1 << 20
"""More than any vocabulary; a bound for ids that are in none."""


class DecodeKind(Enum):
    """How token texts combine; see the module's table."""

    BYTES = "bytes"
    SENTENCEPIECE = "sentencepiece"
    PIECES = "pieces"
    WINDOW = "window"


class _Lazy(dict[int, V], Generic[V]):
    """A mapping that computes an entry when it is first asked for."""

    def __init__(self, compute: Callable[[int], V]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, key: int) -> V:
        value = self._compute(key)
        if len(self) < _MAX_ENTRIES:
            self[key] = value
        return value


class TokenTable:
    """Contributions of single tokens, computed on first use and kept (bounded by the vocabulary).

    Only the mapping of the tokenizer's own kind is meaningful:

    * ``token_bytes[id]``: BYTES;
    * ``units[id]``: SENTENCEPIECE, a string or the value of a byte token;
    * ``first_pieces[id]``, ``pieces[id]``: PIECES, at the start of the text and further on.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.special_ids = backend.special_ids()
        self.kind, self._replacements, self.strip_left = _classify(backend.decoder_spec())
        self.token_bytes: dict[int, bytes] = _Lazy(self._bytes_of)
        self.units: dict[int, str | int] = _Lazy(self._unit_of)
        self.first_pieces: dict[int, str] = _Lazy(lambda i: self._decode([i]))
        self.pieces: dict[int, str] = _Lazy(self._piece_of)
        self._known: dict[int, bool] = _Lazy(self._is_known)

    def is_visible(self, token_id: int, skip_special_tokens: bool) -> bool:
        """Whether the decoder gets to see this token at all."""
        if skip_special_tokens and token_id in self.special_ids:
            return False
        return self._known[token_id]

    def decode_window(self, ids: list[int], spaces: bool) -> str:
        """Decode visible tokens together (WINDOW)."""
        return self._backend.decode(ids, False, spaces)

    def _decode(self, ids: list[int]) -> str:
        return self._backend.decode(ids, False, False)

    def _is_known(self, token_id: int) -> bool:
        return 0 <= token_id < 1 << 31 and self._backend.id_to_token(token_id) is not None

    def _token(self, token_id: int) -> str:
        return (self._backend.id_to_token(token_id) or "") if self._known[token_id] else ""

    def _bytes_of(self, token_id: int) -> bytes:
        token = self._token(token_id)
        try:
            return bytes([_BYTE_OF_CHAR[char] for char in token])
        except KeyError:  # an added token is spelled in plain text
            return token.encode()

    def _unit_of(self, token_id: int) -> str | int:
        token = self._token(token_id)
        for old, new in self._replacements:
            token = token.replace(old, new)
        byte = _BYTE_TOKEN.fullmatch(token)
        return int(byte.group(1), 16) if byte else token

    def _piece_of(self, token_id: int) -> str:
        # These decoders look at one token at a time and treat only the first differently.
        return self._decode([token_id, token_id])[len(self.first_pieces[token_id]) :]


_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_alphabet() -> dict[str, int]:
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    alphabet = {chr(byte): byte for byte in plain}
    alphabet.update({chr(0x100 + n): byte for n, byte in enumerate(others)})
    return alphabet


_BYTE_OF_CHAR = _byte_alphabet()


def _classify(
    spec: dict[str, Any] | None,
) -> tuple[DecodeKind, list[tuple[str, str]], tuple[str, int]]:
    """Kind of decoder, its replacements, and (character, count) stripped at the text's start."""
    nothing: tuple[str, int] = ("", 0)
    steps = _steps(spec)
    types = [step.get("type") for step in steps]
    if types == ["ByteLevel"]:
        return DecodeKind.BYTES, [], nothing
    if types in ([], ["Metaspace"], ["WordPiece"]):
        return DecodeKind.PIECES, [], nothing
    replacements: list[tuple[str, str]] = []
    while steps and (pair := _string_replacement(steps[0])) is not None:
        replacements.append(pair)
        steps = steps[1:]
    types = [step.get("type") for step in steps]
    if types == ["ByteFallback", "Fuse"]:
        return DecodeKind.SENTENCEPIECE, replacements, nothing
    if types == ["ByteFallback", "Fuse", "Strip"] and steps[2].get("stop") == 0:
        strip = (str(steps[2]["content"]), int(steps[2]["start"]))
        return DecodeKind.SENTENCEPIECE, replacements, strip
    return DecodeKind.WINDOW, [], nothing


def _steps(spec: dict[str, Any] | None) -> list[dict[str, Any]]:
    if spec is None:
        return []
    if spec.get("type") != "Sequence":
        return [spec]
    return [step for inner in spec.get("decoders", []) for step in _steps(inner)]


def _string_replacement(step: dict[str, Any]) -> tuple[str, str] | None:
    pattern = step.get("pattern")
    if step.get("type") != "Replace" or not isinstance(pattern, dict):
        return None
    old, new = pattern.get("String"), step.get("content")
    return (old, new) if isinstance(old, str) and old and isinstance(new, str) else None
