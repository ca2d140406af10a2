"""Native answers that hold hidden states, as JSON in pieces.

Such an answer may have a hundred million numbers. Written a piece at a time, it neither holds up
the event loop nor ever exists as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.responses import Response, StreamingResponse

PIECE_NUMBERS = 1 << 15
_PLACE = b"\0"
"""Stands where hidden states belong; JSON has no such byte."""


def holds_hidden_states(answers: Any) -> bool:
    """Whether an answer, or one of a list of them, has any."""
    return any("hidden_states" in answer["meta_info"] for answer in _each(answers))


def hidden_states_response(answers: Any) -> Response:
    return StreamingResponse(json_pieces(answers), media_type="application/json")


async def json_pieces(answers: Any) -> AsyncIterator[bytes]:
    """An answer or a list of them. Takes the hidden states out of them."""
    lists: list[list[NDArray[np.float32]]] = []
    for answer in _each(answers):
        meta = answer["meta_info"]
        if "hidden_states" in meta:
            lists.append(meta["hidden_states"])
            meta["hidden_states"] = orjson.Fragment(_PLACE)
    first, *others = orjson.dumps(answers).split(_PLACE)
    yield first
    for arrays, text in zip(lists, others, strict=True):
        for piece in _list(arrays):
            yield piece
            await asyncio.sleep(0)
        yield text


def _each(answers: Any) -> list[dict[str, Any]]:
    return answers if isinstance(answers, list) else [answers]


def _list(arrays: list[NDArray[np.float32]]) -> Iterator[bytes]:
    """Arrays of shape [n, H] or [H] as a list of such lists."""
    yield b"["
    for i, array in enumerate(arrays):
        if i:
            yield b","
        if array.ndim == 1:
            yield orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
        else:
            yield from _matrix(array)
    yield b"]"


def _matrix(array: NDArray[np.float32]) -> Iterator[bytes]:
    """[n, H] as n lists, some rows a piece."""
    rows = max(1, PIECE_NUMBERS // max(array.shape[1], 1))
    yield b"["
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        text = orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        yield b"," + text if start else text
    yield b"]"
