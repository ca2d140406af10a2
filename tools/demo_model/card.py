"""Writes the model card."""

from __future__ import annotations

from pathlib import Path

from .evaluate import Counts, table, totals
from .model import DemoLlama

_TEXT = """# The demo model

A very small chat model in the Llama architecture that ships with the package. It lets the server
and every example of the documentation run without a download. It is a demonstration, not a source
of knowledge.

| | |
|---|---|
| architecture | `LlamaForCausalLM`, tied embeddings |
| layers, width | {layers}, {width} |
| query heads, key-value heads | {heads}, {kv_heads} |
| parameters | {parameters:,} |
| tokenizer | byte-level BPE, {vocabulary} tokens, one token per digit |
| context | {context} tokens |
| weights | bfloat16 in the file, to be computed in float32 |
| size of all files | {size:.1f} MB |
| chat template | ChatML |
| tool calls | template variable `tool_call_parser`: `llama3` (default), `qwen25`, `mistral` |

## Data

A synthetic corpus that a script generates from seed 0: capitals, continents and languages of
{countries} countries, small arithmetic, copying and reading, tool calls in three formats, JSON
answers, short explanations, stories, jokes and tips, small talk, follow-up questions, personas, and
a few answers in Chinese, French, Spanish and German. The facts and the fixed answers
are tables in `tools/demo_model/data`; populations are rounded.

## Training

{steps:.0f} steps, {seen:.1f} million tokens (padding included), {minutes:.0f} minutes on a shared
two-core machine without an accelerator; the weights are an average of those before and after the
last phase. To rebuild it: `python -m tools.demo_model` in the repository.

## Evaluation

Greedy answers to wordings that are not in the corpus, with the weights of this folder
(`python -m tools.demo_model.evaluate`):

{held_out}

The questions of this table were looked at while the corpus grew, and the weights were chosen by it,
though none of them is in the corpus. It overstates how the model does on new wordings. A second
set was known, and its weak categories too, when the samples of the last phase were made:

{fresh}

A third set, written while the last phase ran, is the fairest of the three, though the weights were
averaged after its first run. With it in mind expect fewer right answers than 9 in 10:

{last}

The documentation's own examples, whose wordings are in the corpus: {right} of {total} answered
as expected.

## Limits

It repeats unusual sentences and finds things in given texts unreliably; a wrong answer comes with
the same calm as a right one. It knows what is listed above and nothing else; asked for other things
it says so, or it is wrong. Arithmetic is learned for whole numbers up to 100 and the small
multiplication table. Conversations much longer than 600 tokens, languages other than those named,
and personas other than pirate, cat, robot, cowboy and butler were not trained.
"""


def write_card(
    folder: Path,
    model: DemoLlama,
    numbers: dict[str, float],
    results: tuple[Counts, Counts, Counts, Counts],
) -> None:
    """Write ``README.md`` of the model folder; the results are those of the four item sets."""
    from .corpus.geography import COUNTRIES

    config = model.config
    counts, fresh, last, examples = results
    right, total = totals(examples)
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    text = _TEXT.format(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        parameters=sum(p.numel() for p in model.parameters()),
        vocabulary=config.vocab_size,
        context=config.max_position_embeddings,
        size=size / 1e6,
        countries=len(COUNTRIES),
        steps=numbers["step"],
        seen=numbers["seen"] / 1e6,
        minutes=numbers["seconds"] / 60,
        held_out=table(counts),
        fresh=table(fresh),
        last=table(last),
        right=right,
        total=total,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
