"""Microseconds a token of incremental detokenization, for each kind of tokenizer.

    python benchmarks/cpu/detokenizer.py [TOKENIZER_DIRECTORY ...]

Without a directory it measures the demo model's tokenizer and small ones made on the spot. The
last column decodes the whole output again for each token, which is what streaming would cost
without an incremental detokenizer (at 500 tokens; it grows with the length).
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer as TokenizerCore
from tokenizers import decoders, models

import sglang
from sglang.srt.tokenizer.backends import FastBackend
from sglang.srt.tokenizer.detokenizer import IncrementalDetokenizer, StopChecker
from sglang.srt.tokenizer.loading import load_tokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer

TOKENS = 500


def word_tokenizer(decoder: decoders.Decoder, spell: Callable[[str], str]) -> Tokenizer:
    """A vocabulary of 32,000 made-up words."""
    letters = "etaoinshrdlu"
    rng = random.Random(0)
    words = {"".join(rng.choices(letters, k=rng.randint(1, 8))) for _ in range(60_000)}
    vocabulary = {spell(word): index for index, word in enumerate(sorted(words)[:32_000])}
    core = TokenizerCore(models.BPE(vocabulary, []))
    core.decoder = decoder
    return Tokenizer(FastBackend(core))


def sample_tokenizers() -> dict[str, Tokenizer]:
    """One tokenizer of each kind, and the demo model's."""
    sentencepiece = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    samples = {
        "byte level": word_tokenizer(decoders.ByteLevel(), lambda w: "Ġ" + w),
        "sentencepiece": word_tokenizer(decoders.Sequence(sentencepiece), lambda w: "▁" + w),
        "pieces": word_tokenizer(decoders.Metaspace(), lambda w: "▁" + w),
        "window": word_tokenizer(decoders.BPEDecoder(), lambda w: w + "</w>"),
    }
    demo = Path(sglang.__file__).parent / "demo_model"
    if (demo / "tokenizer.json").is_file():
        samples["demo model"] = load_tokenizer(str(demo))
    return samples


def microseconds(step: Callable[[list[int]], None], ids: list[int], repeats: int) -> float:
    """Time of ``step`` a token, the best of ``repeats`` runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        step(ids)
        best = min(best, time.perf_counter() - start)
    return best / len(ids) * 1e6


def measure(name: str, tokenizer: Tokenizer) -> None:
    """Print one line of the table."""
    rng = random.Random(1)
    ids = [rng.randrange(tokenizer.vocab_size) for _ in range(TOKENS)]

    def token_by_token(ids: list[int]) -> None:
        detokenizer = IncrementalDetokenizer(tokenizer, ids[:20])
        for token in ids:
            detokenizer.push([token])
        detokenizer.flush()

    def with_stops(ids: list[int]) -> None:
        detokenizer = IncrementalDetokenizer(tokenizer, ids[:20])
        stops = StopChecker(["\n\nUser:", "</answer>"])
        for token in ids:
            stops.push(detokenizer.push([token]))

    def at_once(ids: list[int]) -> None:
        IncrementalDetokenizer(tokenizer, ids[:20]).push(ids)

    def whole_again(ids: list[int]) -> None:
        for end in range(1, len(ids) + 1):
            tokenizer.decode(ids[:end], skip_special_tokens=True)

    columns = [
        microseconds(token_by_token, ids, 20),
        microseconds(with_stops, ids, 20),
        microseconds(at_once, ids, 20),
        microseconds(whole_again, ids, 2),
    ]
    print(f"{name:>24}" + "".join(f"{column:16.2f}" for column in columns))


def main() -> None:
    """Parse the command line, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directories", nargs="*", help="directories with a tokenizer")
    directories: list[str] = parser.parse_args().directories
    tokenizers = {path: load_tokenizer(path) for path in directories} or sample_tokenizers()
    titles = ("token by token", "with 2 stops", "all at once", "whole again")
    print(f"{'microseconds a token':>24}" + "".join(f"{title:>16}" for title in titles))
    for name, tokenizer in tokenizers.items():
        measure(name[-24:], tokenizer)


if __name__ == "__main__":
    main()
