"""Log-probabilities in the shapes of the OpenAI API."""

from __future__ import annotations

from typing import Any

from sglang.srt.managers.io_struct import TokenLogprobs
from sglang.srt.managers.token_text import token_bytes, token_text
from sglang.srt.tokenizer.tokenizer import Tokenizer

LOWEST = -9999.0
"""Stands for minus infinity, which JSON cannot say."""


def chat_logprobs(
    tokenizer: Tokenizer, source: TokenLogprobs, start: int, top: int
) -> dict[str, Any]:
    """``choices[].logprobs`` of a chat answer for the tokens from ``start`` on."""
    content = []
    for i in range(start, len(source.token_ids)):
        entry = _chat_entry(tokenizer, source.token_ids[i], source.logprobs[i])
        entry["top_logprobs"] = [
            _chat_entry(tokenizer, token, logprob) for token, logprob in _tops(source, i, top)
        ]
        content.append(entry)
    return {"content": content, "refusal": None}


def _chat_entry(tokenizer: Tokenizer, token: int, logprob: float | None) -> dict[str, Any]:
    data = token_bytes(tokenizer, token)
    return {
        "token": data.decode(errors="replace"),
        "logprob": _finite(logprob),
        "bytes": list(data),
    }


class CompletionLogprobs:
    """Builds ``choices[].logprobs`` of a completion, or of the pieces of a stream."""

    def __init__(self, tokenizer: Tokenizer, top: int) -> None:
        self._tokenizer = tokenizer
        self._top = top
        self._offset = 0
        """Characters of the answer's text before the next token."""
        self._done = 0
        """Output tokens already handed out."""

    def take(self, prompt: TokenLogprobs | None, output: TokenLogprobs | None) -> dict[str, Any]:
        """The lists for ``prompt`` (once) and for the output tokens not handed out yet."""
        lists: dict[str, list[Any]] = {
            "text_offset": [],
            "token_logprobs": [],
            "tokens": [],
            "top_logprobs": [],
        }
        if prompt is not None:
            self._append(lists, prompt, 0)
        if output is not None:
            self._append(lists, output, self._done)
            self._done = len(output.token_ids)
        return lists

    def _append(self, lists: dict[str, list[Any]], source: TokenLogprobs, start: int) -> None:
        for i in range(start, len(source.token_ids)):
            token, logprob = source.token_ids[i], source.logprobs[i]
            text = token_text(self._tokenizer, token)
            lists["text_offset"].append(self._offset)
            lists["tokens"].append(text)
            self._offset += len(text)
            if logprob is None:
                lists["token_logprobs"].append(None)
                lists["top_logprobs"].append(None)
                continue
            lists["token_logprobs"].append(_finite(logprob))
            best = {
                token_text(self._tokenizer, other): _finite(value)
                for other, value in _tops(source, i, self._top)
            }
            best.setdefault(text, _finite(logprob))
            lists["top_logprobs"].append(best)


def _tops(source: TokenLogprobs, i: int, top: int) -> list[tuple[int, float]]:
    if i >= len(source.top_ids):
        return []
    return list(zip(source.top_ids[i], source.top_logprobs[i], strict=True))[:top]


def _finite(logprob: float | None) -> float | None:
    return logprob if logprob is None or logprob > LOWEST else LOWEST
