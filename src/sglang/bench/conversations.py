"""Prompts that people wrote: conversations in ShareGPT's format, and files of one's own."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sglang.bench.prompts import Prompt
from sglang.bench.random_text import RandomText
from sglang.srt.tokenizer.tokenizer import Tokenizer

MIN_TOKENS = 4
"""Shorter prompts and answers are noise."""
MAX_PROMPT_TOKENS = 1024
MAX_TOTAL_TOKENS = 2048
"""The limits that are customary for this data set, for figures to be comparable."""

SHAREGPT_MEANS = (161.31, 337.99)
"""Mean tokens of prompts and answers in ShareGPT (Kwon et al., arXiv:2309.06180, figure 11)."""

_AT_ONCE = 64
"""Conversations tokenized together."""

Render = Callable[[str], str]
"""What becomes of a text before it is sent (the chat template, or nothing)."""


def sharegpt(
    path: Path,
    count: int,
    tokenizer: Tokenizer,
    rng: random.Random,
    *,
    output_len: int | None,
    context_len: int | None,
    render: Render,
) -> list[Prompt]:
    """Up to ``count`` first turns of a file in ShareGPT's format, in random order.

    The file is a JSON list of ``{"conversations": [{"from": ..., "value": ...}, ...]}``. The answer
    is as long as the one in the file, or ``output_len`` tokens. Without ``context_len`` the
    customary limits apply.

    Raises:
        ValueError: the file is not of this format, or no conversation is within the limits.
    """
    pairs = _first_turns(path)
    rng.shuffle(pairs)
    prompts: list[Prompt] = []
    for start in range(0, len(pairs), _AT_ONCE):
        part = pairs[start : start + _AT_ONCE]
        texts = [render(question) for question, _ in part]
        asked = tokenizer.encode_batch(texts)
        answered = tokenizer.encode_batch([answer for _, answer in part], add_special_tokens=False)
        for text, question, answer in zip(texts, asked, answered, strict=True):
            prompt = Prompt(text, len(question), output_len or len(answer))
            if _is_usable(prompt, output_len, context_len):
                prompts.append(prompt)
        if len(prompts) >= count:
            break
    if not prompts:
        raise ValueError(f"{path}: no conversation is within the length limits")
    return prompts[:count]


def _is_usable(prompt: Prompt, output_len: int | None, context_len: int | None) -> bool:
    if prompt.input_len < MIN_TOKENS or (output_len is None and prompt.output_len < MIN_TOKENS):
        return False
    if context_len is not None:
        return prompt.input_len + prompt.output_len <= context_len
    total = prompt.input_len + prompt.output_len
    return prompt.input_len <= MAX_PROMPT_TOKENS and (
        output_len is not None or total <= MAX_TOTAL_TOKENS
    )


def _first_turns(path: Path) -> list[tuple[str, str]]:
    """The first two messages of each conversation that has as many."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise ValueError("not a list")
        pairs = []
        for entry in entries:
            turns = entry.get("conversations", entry.get("conversation", []))
            if len(turns) >= 2:
                pairs.append((str(turns[0]["value"]), str(turns[1]["value"])))
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is not in ShareGPT's format: {error}") from None
    return pairs


def synthetic(
    text: RandomText, count: int, rng: random.Random, *, output_len: int | None
) -> Iterator[tuple[str, int]]:
    """``count`` random texts and answer lengths, about as long as ShareGPT's.

    Lengths are log-normal with SHAREGPT_MEANS and a standard deviation of 1 of the logarithm, cut
    to the customary limits.
    """
    for _ in range(count):
        asked = _log_normal(rng, SHAREGPT_MEANS[0], MAX_PROMPT_TOKENS)
        answered = output_len or _log_normal(rng, SHAREGPT_MEANS[1], MAX_TOTAL_TOKENS - asked)
        yield text.text(asked), answered


def _log_normal(rng: random.Random, mean: float, largest: int) -> int:
    value = rng.lognormvariate(math.log(mean) - 0.5, 1.0)
    return max(MIN_TOKENS, min(largest, round(value)))


def custom(
    path: Path, count: int, tokenizer: Tokenizer, *, output_len: int, render: Render
) -> list[Prompt]:
    """The first ``count`` lines of a file with one JSON object a line.

    A line has ``prompt`` (text or token ids) or ``messages`` (OpenAI's format, put through the
    chat template), and may have ``output_len``.

    Raises:
        ValueError: naming the line that is wrong.
    """
    prompts: list[Prompt] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if len(prompts) == count:
                break
            if not line.strip():
                continue
            try:
                prompts.append(_custom_prompt(json.loads(line), tokenizer, output_len, render))
            except (ValueError, AttributeError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
    if not prompts:
        raise ValueError(f"{path} is empty")
    return prompts


def _custom_prompt(entry: Any, tokenizer: Tokenizer, output_len: int, render: Render) -> Prompt:
    if not isinstance(entry, dict):
        raise ValueError("expected a JSON object")
    length = entry.get("output_len", output_len)
    if type(length) is not int or length < 1:
        raise ValueError(f"output_len must be a positive whole number, got {length!r}")
    if "messages" in entry:
        text = tokenizer.apply_chat_template(
            entry["messages"], tokenize=False, add_generation_prompt=True
        )
        return Prompt(text, len(tokenizer.encode(text)), length)
    content = entry.get("prompt")
    if isinstance(content, str) and content:
        text = render(content)
        return Prompt(text, len(tokenizer.encode(text)), length)
    if isinstance(content, list) and content and all(type(i) is int for i in content):
        return Prompt(content, len(content), length)
    raise ValueError("needs a prompt (text or token ids) or messages")
