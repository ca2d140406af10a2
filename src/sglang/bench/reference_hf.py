"""What transformers says to the prompts of ``bench_one_batch --correct``, in the same form.

    python -m sglang.bench.reference_hf --model MODEL
    python -m sglang.bench_one_batch --correct --model MODEL

print the same text and very similar logits where a model is implemented correctly. Nothing of the
runtime has a part in this one but the rule by which ``--dtype auto`` is chosen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import torch

from sglang.bench.correctness_report import PROMPTS, print_report
from sglang.bench.option_types import positive_int
from sglang.srt.configs.model_config import DTYPES, load_model_config
from sglang.srt.model_loader.hub import resolve_model_path


def main(argv: Sequence[str], prog: str = "python -m sglang.bench.reference_hf") -> int:
    """Print a report on each prompt; returns the exit status."""
    given = _parser(prog).parse_args(list(argv))
    try:
        print_reference(
            given.model_path,
            tokenizer_path=given.tokenizer_path or given.model_path,
            output_len=given.output_len,
            dtype=given.dtype,
            device=given.device,
            trust_remote_code=given.trust_remote_code,
        )
    except (ValueError, OSError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="The reference for bench_one_batch --correct, by transformers."
    )
    parser.add_argument(
        "--model-path", "--model", required=True, metavar="MODEL", help="a folder or a hub name"
    )
    parser.add_argument("--tokenizer-path", metavar="PATH", help="default: the model path")
    parser.add_argument(
        "--output-len",
        "--max-new-tokens",
        type=positive_int,
        default=16,
        metavar="N",
        help="tokens of each answer (default: 16)",
    )
    parser.add_argument(
        "--dtype",
        choices=("auto", *DTYPES),
        default="auto",
        help="type of weights and activations; auto chooses as the server does",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run code that comes with the checkpoint"
    )
    return parser


@torch.inference_mode()
def print_reference(
    model_path: str,
    *,
    tokenizer_path: str,
    output_len: int,
    dtype: str,
    device: str,
    trust_remote_code: bool,
) -> None:
    """For each of PROMPTS the logits [V] after its last token, and ``output_len`` greedy tokens.

    Raises ValueError or OSError where transformers cannot load the model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = resolve_model_path(model_path)
    chosen = load_model_config(folder, dtype=dtype, device=device).dtype
    tokenizer: Any = AutoTokenizer.from_pretrained(
        resolve_model_path(tokenizer_path, load_format="dummy"), trust_remote_code=trust_remote_code
    )
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, chosen), trust_remote_code=trust_remote_code
    )
    model.to(device).eval()
    for prompt in PROMPTS:
        ids: list[int] = tokenizer.encode(prompt)
        logits, tokens = _greedy(model, torch.tensor([ids], device=device), output_len)
        print_report(prompt, ids, logits, tokenizer.decode(tokens))


def _greedy(model: Any, ids: torch.Tensor, output_len: int) -> tuple[torch.Tensor, list[int]]:
    """Logits [V] after ``ids`` [1, T], and the most likely tokens from there, past any end token.

    Not by ``generate``, which would follow the checkpoint's own sampling defaults.
    """
    output = model(input_ids=ids, use_cache=True)
    first = output.logits[0, -1].float().cpu()
    tokens = [int(first.argmax())]
    while len(tokens) < output_len:
        last = torch.tensor([tokens[-1:]], device=ids.device)
        output = model(input_ids=last, past_key_values=output.past_key_values, use_cache=True)
        tokens.append(int(output.logits[0, -1].argmax()))
    return first, tokens


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
