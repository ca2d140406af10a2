"""Evaluates the model: ``python -m tools.demo_model.evaluate``.

Reports the accuracy on held-out phrasings, on the hand-written questions and on the documented
examples; ends with an error below 90 % of the decisive questions, or of the held-out phrasings of
what the model is meant for.
Answers come from transformers, or with ``--backend http`` from a running server.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from .corpus import FURTHER, PHASES, held_out, samples
from .export import PACKAGE_FOLDER
from .questions import facts, skills
from .questions.decisive import decisive
from .questions.documented import documented
from .questions.fourth import fourth
from .questions.items import Check, Item
from .questions.second import second
from .questions.third import third
from .rendering import render, segments

REQUIRED = 0.90
MAX_NEW_TOKENS = 200
HELD_OUT_SEED = 20
PER_CATEGORY = 100
UNSEEN_SEED = 77
UNSEEN_SAMPLES = 25_000
_CONTROL = re.compile(r"<\|(?:im_end|im_start|endoftext)\|>.*", re.DOTALL)


class Backend(Protocol):
    """Something that answers items."""

    def answer(self, items: list[Item]) -> list[str]:
        """Greedy answers, without control tokens but with tool tags."""


def prompt_of(item: Item) -> str:
    """The text that the model sees."""
    return item.prompt or render(item.messages, item.tools, item.parser)


class TransformersBackend:
    """The exported folder, loaded by transformers: bfloat16 weights, float32 arithmetic."""

    def __init__(self, folder: Path, batch_size: int = 32) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.torch = torch
        self.batch_size = batch_size
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def answer(self, items: list[Item]) -> list[str]:
        """Batches of prompts of similar length."""
        prompts = [prompt_of(item) for item in items]
        answers = [""] * len(items)
        order = sorted(range(len(items)), key=lambda i: len(prompts[i]))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = self.tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True)
            with self.torch.inference_mode():
                output = self.model.generate(
                    **batch, max_new_tokens=MAX_NEW_TOKENS, do_sample=False
                )
            width = batch["input_ids"].shape[1]
            for i, row in zip(chosen, output[:, width:], strict=True):
                answers[i] = _CONTROL.sub("", str(self.tokenizer.decode(row)))
        return answers


class HttpBackend:
    """A running server: chat items go to the chat route, the others to ``/generate``."""

    def __init__(self, url: str, workers: int = 8) -> None:
        self.url = url.rstrip("/")
        self.workers = workers

    def answer(self, items: list[Item]) -> list[str]:
        """Several requests at a time."""
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self._one, items))

    def _one(self, item: Item) -> str:
        if item.messages and not item.tools and all("tool_calls" not in m for m in item.messages):
            body: dict[str, Any] = {
                "model": "default",
                "messages": item.messages,
                "temperature": 0,
                "max_tokens": MAX_NEW_TOKENS,
            }
            reply = self._post("/v1/chat/completions", body)
            return str(reply["choices"][0]["message"]["content"] or "")
        parameters = {
            "temperature": 0,
            "max_new_tokens": MAX_NEW_TOKENS,
            "skip_special_tokens": False,
        }
        reply = self._post("/generate", {"text": prompt_of(item), "sampling_params": parameters})
        return _CONTROL.sub("", str(reply["text"]))

    def _post(self, route: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.url + route,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": "Bearer EMPTY"},
        )
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)


def held_out_items(*, further: bool) -> Iterator[Item]:
    """Questions in phrasings that training never saw; the whole answer has to be right.

    Either on what the model is meant for, or on ``further`` skills.
    """
    for category, sample in held_out(HELD_OUT_SEED, PER_CATEGORY):
        if (category in FURTHER) != further:
            continue
        *before, (answer, _) = segments(sample)
        prompt = "".join(text for text, _ in before)
        yield Item(category, _equals(_CONTROL.sub("", answer)), prompt=prompt)


def _equals(expected: str) -> Check:
    return lambda text: text.strip() == expected.strip()


def known_items() -> Iterator[Item]:
    """The hand-written questions of earlier rounds: no longer fair, but they show what breaks."""
    for maker in (
        facts.geography,
        facts.sums,
        facts.copying,
        facts.identity,
        facts.knowledge,
        skills.dialogues,
        skills.languages,
        skills.structured,
        skills.tools,
        skills.completions,
        second,
        third,
        fourth,
    ):
        yield from maker()


def unseen_items() -> Iterator[Item]:
    """The decisive questions whose last message does not come up in a long stretch of the corpus.

    Everybody asks "Who are you?", so some of them do.
    """
    asked = {
        _bare(str(message["content"]))
        for phase in range(len(PHASES))
        for sample in samples(UNSEEN_SEED + phase, UNSEEN_SAMPLES, phase)
        for message in sample.messages
        if message["role"] == "user"
    }
    return (item for item in decisive() if _bare(item.shown) not in asked)


def _bare(text: str) -> str:
    """The words alone."""
    return " ".join(re.findall(r"\w+", text.lower()))


Counts = dict[str, tuple[int, int]]


def run(backend: Backend, items: list[Item], show_errors: bool) -> Counts:
    """Right answers and items of every category."""
    counts: dict[str, list[bool]] = defaultdict(list)
    for item, text in zip(items, backend.answer(items), strict=True):
        right = item.check(text)
        counts[item.category].append(right)
        if show_errors and not right:
            print(f"[{item.category}] {item.shown[-300:]!r}\n    {text!r}")
    return {name: (sum(rights), len(rights)) for name, rights in counts.items()}


def table(counts: Counts) -> str:
    """A Markdown table with the total at its end."""
    lines = ["| category | right | of | accuracy |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {a} | {b} | {a / b:.1%} |" for name, (a, b) in counts.items()]
    right, total = totals(counts)
    lines.append(f"| **total** | {right} | {total} | **{right / total:.1%}** |")
    return "\n".join(lines)


def totals(counts: Counts) -> tuple[int, int]:
    """Sums over the categories."""
    return sum(a for a, _ in counts.values()), sum(b for _, b in counts.values())


def results(backend: Backend, show_errors: bool) -> dict[str, Counts]:
    """Counts of every set of items, which are also printed."""
    sets = {
        "held-out phrasings": lambda: held_out_items(further=False),
        "held-out phrasings of further skills": lambda: held_out_items(further=True),
        "decisive questions": decisive,
        "of these, not in the corpus": unseen_items,
        "known questions": known_items,
        "documented examples": documented,
    }
    found = {}
    for name, items in sets.items():
        found[name] = run(backend, list(items()), show_errors)
        print(f"\n{name.capitalize()}\n\n{table(found[name])}", flush=True)
    return found


def good_enough(found: dict[str, Counts]) -> bool:
    """Whether the model may be shipped."""
    pairs = [totals(found[name]) for name in ("held-out phrasings", "decisive questions")]
    return all(right / total >= REQUIRED for right, total in pairs)


def main() -> int:
    """Command line; the exit status is 1 below the required accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("transformers", "http"), default="transformers")
    parser.add_argument("--url", default="http://127.0.0.1:30000")
    parser.add_argument("--model", type=Path, default=PACKAGE_FOLDER)
    parser.add_argument("--errors", action="store_true", help="show the wrong answers")
    options = parser.parse_args()
    backend: Backend
    if options.backend == "http":
        backend = HttpBackend(options.url)
    else:
        backend = TransformersBackend(options.model)
    return 0 if good_enough(results(backend, options.errors)) else 1


if __name__ == "__main__":
    sys.exit(main())
