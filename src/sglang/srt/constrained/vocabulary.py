"""The bytes that each token of a vocabulary stands for."""

from __future__ import annotations

from sglang.srt.tokenizer.token_table import DecodeKind
from sglang.srt.tokenizer.tokenizer import Tokenizer


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """What each token adds to the text, by id; empty for special tokens and gaps between ids."""
    size = max(tokenizer.get_vocab().values(), default=-1) + 1
    special = tokenizer.backend.special_ids()
    return [b"" if i in special else _bytes_of(tokenizer, i) for i in range(size)]


def _bytes_of(tokenizer: Tokenizer, token: int) -> bytes:
    table = tokenizer.token_table
    if table.kind is DecodeKind.BYTES:
        return table.token_bytes[token]
    if table.kind is DecodeKind.SENTENCEPIECE:
        unit = table.units[token]
        return bytes([unit]) if isinstance(unit, int) else unit.encode()
    if table.kind is DecodeKind.PIECES:
        return table.pieces[token].encode()
    return table.decode_window([token], False).encode()
