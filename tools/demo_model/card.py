"""Writes the model card."""

from __future__ import annotations

from pathlib import Path

from .corpus.geography import COUNTRIES
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

{steps:.0f} steps from random weights in three phases, and {seen:.1f} million tokens (padding
included): {minutes:.0f} minutes on two cores without an accelerator, of which the run itself used
{quiet:.0f} minutes on each. To rebuild it: `python -m tools.demo_model` in the repository.

## Evaluation

Greedy answers with the weights of this folder (`python -m tools.demo_model.evaluate`).

**Held-out phrasings.** A stable hash keeps about 6 % of the wordings and sentence frames of every
skill out of training. These questions are put in just those, sampled with a fixed seed; the whole
answer has to be equal to the expected one:

{held_out}

What the documentation's examples do not need, asked in the same way:

{further}

Both together: {all_right} of {all_total}.

**Decisive questions** on what the model is meant for, written without knowledge of the corpus and
first asked when the training was over; nothing was changed after that.

{decisive}

Some of these everybody asks, so they come up in the corpus word for word. Of the others, whose last
message was not found in 75,000 samples, {unseen_right} of {unseen_total} are right.

**Questions known before.** Hand-written questions of earlier rounds, {known_right} of
{known_total} right: similar wordings may have found their way into the corpus.

**The documentation's own examples**, whose wordings are in the corpus: {right} of {total} answered
as expected.

## Limits

It repeats long or unusual sentences unreliably; a wrong answer comes with
the same calm as a right one. It knows what is listed above and nothing else; asked for other things
it says so, or it is wrong. Arithmetic is learned for whole numbers up to 100 and the small
multiplication table. Conversations much longer than 600 tokens, languages other than those named,
and personas other than pirate, cat, robot, cowboy and butler were not trained.
"""


def write_card(
    folder: Path, model: DemoLlama, numbers: dict[str, float], results: dict[str, Counts]
) -> None:
    """Write ``README.md`` of the model folder; the results are those of ``evaluate.results``."""
    config = model.config
    right, total = totals(results["documented examples"])
    pairs = [totals(counts) for name, counts in results.items() if name.startswith("held-out")]
    all_right, all_total = (sum(column) for column in zip(*pairs, strict=True))
    unseen_right, unseen_total = totals(results["of these, not in the corpus"])
    known_right, known_total = totals(results["known questions"])
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
        quiet=numbers["processor_seconds"] / 120,
        held_out=table(results["held-out phrasings"]),
        all_right=all_right,
        all_total=all_total,
        further=table(results["held-out phrasings of further skills"]),
        unseen_right=unseen_right,
        unseen_total=unseen_total,
        decisive=table(results["decisive questions"]),
        known_right=known_right,
        known_total=known_total,
        right=right,
        total=total,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
