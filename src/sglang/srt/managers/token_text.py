"""What single tokens look like in an answer with log-probabilities."""

from __future__ import annotations

from sglang.srt.tokenizer.token_table import DecodeKind
from sglang.srt.tokenizer.tokenizer import Tokenizer


def token_bytes(tokenizer: Tokenizer, token_id: int) -> bytes:
    """UTF-8 bytes that a token contributes to a text; a character may be spread over several.

    Leading spaces are kept. Special tokens give their spelling.
    """
    table = tokenizer.token_table
    if table.kind is DecodeKind.BYTES:
        return table.token_bytes[token_id]
    if table.kind is DecodeKind.SENTENCEPIECE:
        unit = table.units[token_id]
        return bytes([unit]) if isinstance(unit, int) else unit.encode()
    if table.kind is DecodeKind.PIECES:
        return table.pieces[token_id].encode()
    return tokenizer.decode([token_id]).encode()


def token_text(tokenizer: Tokenizer, token_id: int) -> str:
    """The same as a string; an incomplete character shows as U+FFFD."""
    return token_bytes(tokenizer, token_id).decode(errors="replace")
