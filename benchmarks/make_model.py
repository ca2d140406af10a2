"""Writes the checkpoints that the comparison of servers uses.

    python benchmarks/make_model.py --out DIR [--only llama-135m,llama-0.5b] [--seed 0]

Llama architectures with random bfloat16 weights: any server can load them, nobody has to download
anything, and speed does not depend on what weights say. The tokenizer is a real one, a byte-level
BPE of 32,000 entries trained on the Python files of the standard library, so its ids may differ
a little from one Python version to another; workloads are token ids.
"""

from __future__ import annotations

import argparse
import json
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOCAB_SIZE = 32000
CONTEXT_LENGTH = 8192
BOS, START, END = SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Their ids are 0, 1 and 2."""
WEIGHT_STD = 0.02

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama model."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    tied: bool
    """Whether the embedding table is the head as well."""
    rope_theta: float
    vocab_size: int = VOCAB_SIZE

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of all weights, as in Hugging Face's Llama."""
        hidden, inner = self.hidden_size, self.intermediate_size
        q_size, kv_size = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        yield "model.embed_tokens.weight", (self.vocab_size, hidden)
        for index in range(self.num_layers):
            layer = f"model.layers.{index}"
            yield f"{layer}.input_layernorm.weight", (hidden,)
            yield f"{layer}.self_attn.q_proj.weight", (q_size, hidden)
            yield f"{layer}.self_attn.k_proj.weight", (kv_size, hidden)
            yield f"{layer}.self_attn.v_proj.weight", (kv_size, hidden)
            yield f"{layer}.self_attn.o_proj.weight", (hidden, q_size)
            yield f"{layer}.post_attention_layernorm.weight", (hidden,)
            yield f"{layer}.mlp.gate_proj.weight", (inner, hidden)
            yield f"{layer}.mlp.up_proj.weight", (inner, hidden)
            yield f"{layer}.mlp.down_proj.weight", (hidden, inner)
        yield "model.norm.weight", (hidden,)
        if not self.tied:
            yield "lm_head.weight", (self.vocab_size, hidden)

    def config(self) -> dict[str, Any]:
        """``config.json``, for readers of transformers 4 and 5 alike."""
        rope = {"rope_type": "default", "rope_theta": self.rope_theta}
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": CONTEXT_LENGTH,
            "rms_norm_eps": 1e-5,
            "rope_theta": self.rope_theta,
            "rope_parameters": rope,
            "tie_word_embeddings": self.tied,
            "attention_bias": False,
            "mlp_bias": False,
            "initializer_range": WEIGHT_STD,
            "dtype": "bfloat16",
            "torch_dtype": "bfloat16",
            **_special_ids(),
        }


SHAPES = {
    "llama-135m": Shape(576, 30, 9, 3, 64, 1536, tied=True, rope_theta=1e4),
    "llama-0.5b": Shape(1024, 24, 16, 4, 64, 4096, tied=False, rope_theta=5e5),
}


def _special_ids() -> dict[str, int]:
    return {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}


def write_checkpoint(folder: Path, shape: Shape, tokenizer: Any, seed: int) -> int:
    """Write a model of ``shape`` with ``tokenizer`` (of the tokenizers package) to ``folder``.

    Returns the number of parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", shape.config())
    _write_json(folder / "generation_config.json", {**_special_ids(), "do_sample": False})
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config())
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return _write_weights(folder / "model.safetensors", shape, seed)


def _write_weights(path: Path, shape: Shape, seed: int) -> int:
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, size in shape.tensors():
        # Vectors are the scales of norms.
        if len(size) == 1:
            weights[name] = torch.ones(size, dtype=torch.bfloat16)
        else:
            noise = torch.randn(size, generator=generator) * WEIGHT_STD
            weights[name] = noise.to(torch.bfloat16)
    save_file(weights, path, metadata={"format": "pt"})
    return sum(weight.numel() for weight in weights.values())


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": END,
        "pad_token": BOS,
        "additional_special_tokens": [START],
        "model_max_length": CONTEXT_LENGTH,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def train_tokenizer(texts: Iterator[str], vocab_size: int = VOCAB_SIZE) -> Any:
    """A byte-level BPE with SPECIAL_TOKENS first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def library_texts() -> Iterator[str]:
    """The Python files of the standard library, without what is installed beside it."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if "site-packages" in path.parts or "dist-packages" in path.parts:
            continue
        try:
            yield path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):  # some test files are meant to be unreadable
            continue


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="a folder for the models")
    parser.add_argument("--only", default=",".join(SHAPES), help="names, with commas between")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    names = options.only.split(",")
    for name in names:
        if name not in SHAPES:
            parser.error(f"--only: there is no model {name!r}; there are {', '.join(SHAPES)}")
    tokenizer = train_tokenizer(library_texts())
    found = tokenizer.get_vocab_size()
    if found != VOCAB_SIZE:
        parser.exit(1, f"the standard library gave only {found} tokens, not {VOCAB_SIZE}\n")
    for name in names:
        count = write_checkpoint(options.out / name, SHAPES[name], tokenizer, options.seed)
        print(f"{name}: {count / 1e6:.1f} M parameters, {options.out / name}", flush=True)


if __name__ == "__main__":
    main()
