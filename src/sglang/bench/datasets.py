"""The data sets by name, and the options that choose among them."""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from sglang.bench import conversations
from sglang.bench.option_types import positive_float, positive_int
from sglang.bench.prompts import Prompt
from sglang.bench.random_text import RandomText
from sglang.srt.tokenizer.tokenizer import Tokenizer

NAMES = ("sharegpt", "custom", "random", "random-ids", "generated-shared-prefix")
DEFAULT_NUM_PROMPTS = 1000


@dataclass(frozen=True)
class DatasetOptions:
    """What the command line says about the prompts; see :func:`add_dataset_options`."""

    dataset_name: str = "sharegpt"
    dataset_path: str | None = None
    num_prompts: int | None = None
    seed: int = 1
    apply_chat_template: bool = False
    sharegpt_output_len: int | None = None
    sharegpt_context_len: int | None = None
    custom_output_len: int = 256
    random_input_len: int = 1024
    random_output_len: int = 1024
    random_range_ratio: float = 0.0
    gsp_num_groups: int = 64
    gsp_prompts_per_group: int = 16
    gsp_system_prompt_len: int = 2048
    gsp_question_len: int = 128
    gsp_output_len: int = 256

    @classmethod
    def take_from(cls, namespace: argparse.Namespace) -> DatasetOptions:
        """Move the options out of ``namespace``."""
        values = {}
        for field in fields(cls):
            values[field.name] = getattr(namespace, field.name)
            delattr(namespace, field.name)
        return cls(**values)


def add_dataset_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`DatasetOptions`."""
    group = parser.add_argument_group("Prompts")
    defaults = DatasetOptions()

    def add(flag: str, help: str, **more: object) -> None:
        default = getattr(defaults, flag[2:].replace("-", "_"))
        if default not in (None, False):
            help += f" (default: {default})"
        group.add_argument(flag, default=default, help=help, **more)  # type: ignore[arg-type]

    add(
        "--dataset-name",
        "where prompts come from. sharegpt: conversations in ShareGPT's format, made up if there "
        "is no --dataset-path; custom: a file of JSON lines; random: text of random words; "
        "random-ids: random token ids; generated-shared-prefix: groups with a common beginning",
        choices=NAMES,
    )
    add("--dataset-path", "the file for sharegpt or custom", metavar="FILE")
    add(
        "--num-prompts",
        f"how many prompts to send (default: {DEFAULT_NUM_PROMPTS}; for generated-shared-prefix "
        "all of them)",
        type=positive_int,
    )
    add("--seed", "seed of everything random", type=int)
    add("--apply-chat-template", "put texts through the chat template", action="store_true")
    add("--sharegpt-output-len", "length of answers instead of the file's", type=positive_int)
    add("--sharegpt-context-len", "longest conversation to take, in tokens", type=positive_int)
    add("--custom-output-len", "length of answers where a line has none", type=positive_int)
    add("--random-input-len", "tokens of a random prompt", type=positive_int)
    add("--random-output-len", "tokens of its answer", type=positive_int)
    add(
        "--random-range-ratio",
        "lengths are drawn evenly between this fraction and all of the two lengths above; 1: "
        "always exactly those",
        type=positive_float(maximum=1.0, zero=True),
    )
    add("--gsp-num-groups", "groups of prompts with a common beginning", type=positive_int)
    add("--gsp-prompts-per-group", "prompts in each group", type=positive_int)
    add("--gsp-system-prompt-len", "tokens of the common beginning", type=positive_int)
    add("--gsp-question-len", "tokens of the rest", type=positive_int)
    add("--gsp-output-len", "tokens of the answer", type=positive_int)


def load_prompts(options: DatasetOptions, tokenizer: Tokenizer) -> list[Prompt]:
    """The prompts that ``options`` ask for; the same options always give the same.

    Raises:
        ValueError, OSError: a file is missing or wrong, or options exclude each other.
    """
    _check(options)
    rng = random.Random(options.seed)
    if options.dataset_path is not None:
        return _from_file(options, Path(options.dataset_path), tokenizer, rng)
    text = RandomText(tokenizer, rng)
    if options.dataset_name == "random-ids":
        sizes = [_random_lengths(options, rng) for _ in range(_count(options))]
        return [Prompt(text.ids(asked), asked, answered) for asked, answered in sizes]
    made = _made_up(options, text, rng)
    texts = [_rendered(content, options, tokenizer) for content, _ in made]
    lengths = [len(ids) for ids in tokenizer.encode_batch(texts)]
    return [
        Prompt(content, length, answered)
        for content, length, (_, answered) in zip(texts, lengths, made, strict=True)
    ]


def _check(options: DatasetOptions) -> None:
    name = options.dataset_name
    if name == "custom" and options.dataset_path is None:
        raise ValueError("--dataset-name custom needs --dataset-path")
    if name not in ("sharegpt", "custom") and options.dataset_path is not None:
        raise ValueError(f"--dataset-path has no meaning with --dataset-name {name}")
    if name == "random-ids" and options.apply_chat_template:
        raise ValueError("--apply-chat-template needs text, and random-ids are token ids")
    if options.sharegpt_context_len is not None and options.dataset_path is None:
        raise ValueError("--sharegpt-context-len needs --dataset-path")


def _count(options: DatasetOptions) -> int:
    return options.num_prompts or DEFAULT_NUM_PROMPTS


def _rendered(content: str, options: DatasetOptions, tokenizer: Tokenizer) -> str:
    if not options.apply_chat_template:
        return content
    messages = [{"role": "user", "content": content}]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def _from_file(
    options: DatasetOptions, path: Path, tokenizer: Tokenizer, rng: random.Random
) -> list[Prompt]:
    def render(content: str) -> str:
        return _rendered(content, options, tokenizer)

    if options.dataset_name == "custom":
        length = options.custom_output_len
        return conversations.custom(
            path, _count(options), tokenizer, output_len=length, render=render
        )
    return conversations.sharegpt(
        path,
        _count(options),
        tokenizer,
        rng,
        output_len=options.sharegpt_output_len,
        context_len=options.sharegpt_context_len,
        render=render,
    )


def _made_up(
    options: DatasetOptions, text: RandomText, rng: random.Random
) -> list[tuple[str, int]]:
    """Texts and the lengths of their answers."""
    if options.dataset_name == "generated-shared-prefix":
        return _shared_prefix(options, text, rng)[: options.num_prompts]
    if options.dataset_name == "random":
        sizes = [_random_lengths(options, rng) for _ in range(_count(options))]
        return [(text.text(asked), answered) for asked, answered in sizes]
    print("No --dataset-path: using random text as long as ShareGPT's.", file=sys.stderr)
    output_len = options.sharegpt_output_len
    return list(conversations.synthetic(text, _count(options), rng, output_len=output_len))


def _random_lengths(options: DatasetOptions, rng: random.Random) -> tuple[int, int]:
    def draw(longest: int) -> int:
        return rng.randint(max(1, int(longest * options.random_range_ratio)), longest)

    return draw(options.random_input_len), draw(options.random_output_len)


def _shared_prefix(
    options: DatasetOptions, text: RandomText, rng: random.Random
) -> list[tuple[str, int]]:
    made = []
    for _ in range(options.gsp_num_groups):
        beginning = text.text(options.gsp_system_prompt_len)
        for _ in range(options.gsp_prompts_per_group):
            question = text.text(options.gsp_question_len)
            made.append((f"{beginning}\n\n{question}", options.gsp_output_len))
    rng.shuffle(made)
    return made
