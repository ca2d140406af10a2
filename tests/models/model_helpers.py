"""Tiny random checkpoints, transformers as the oracle, and a hand-driven decoder.

Other rooms use ``make_tiny_checkpoint`` as well; transformers is imported when it is called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sglang.srt.configs.model_config import load_model_config
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.forward_batch import AttentionMeta, ForwardBatch
from sglang.srt.models.interface import CausalLM
from sglang.srt.models.load import TORCH_DTYPES, load_model

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")

TINY = {
    "vocab_size": 199,
    "hidden_size": 48,
    "intermediate_size": 88,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "eos_token_id": 2,
    "bos_token_id": 1,
}


def make_tiny_checkpoint(
    folder: Path,
    family: str = "llama",
    *,
    seed: int = 0,
    dtype: str = "float32",
    weights: str = "safetensors",
    shards: int = 1,
    old_style_config: bool = False,
    generation_config: dict[str, Any] | None = None,
    **overrides: Any,
) -> Path:
    """Write a random model of one of FAMILIES to ``folder`` (created) and return it.

    ``overrides`` are keys of the family's transformers configuration, over TINY. Weights are
    scaled so that the most likely token stands out. ``weights`` is ``safetensors`` or ``bin``;
    ``shards`` > 1 splits them and writes an index. ``old_style_config`` writes ``torch_dtype``,
    ``rope_theta`` and ``rope_scaling`` instead of ``dtype`` and ``rope_parameters``.
    """
    import transformers

    name = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}[family]
    config = getattr(transformers, f"{name}Config")(**{**TINY, **overrides})
    model = getattr(transformers, f"{name}ForCausalLM")(config)
    randomize(model, seed)
    model = model.to(TORCH_DTYPES[dtype])
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    if weights == "bin" or shards > 1:
        _rewrite_weights(folder, model, weights, shards)
    if old_style_config:
        _write_old_style(folder / "config.json")
    if generation_config is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation_config))
    return folder


def randomize(model: torch.nn.Module, seed: int = 0) -> None:
    """Weights that make the most likely token stand out."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 2:
                # Larger than 1 / sqrt(fan in), so that attention is not nearly uniform.
                scale = 1.0 if "embed" in key else 1.6 * parameter.shape[1] ** -0.5
                parameter.copy_(noise * scale)
            else:
                parameter.copy_(noise * 0.2 + (0.0 if key.endswith("bias") else 1.0))


def _rewrite_weights(folder: Path, model: Any, weights: str, shards: int) -> None:
    from safetensors.torch import save_file

    (folder / "model.safetensors").unlink()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    if weights == "safetensors" and model.config.tie_word_embeddings:
        del state["lm_head.weight"]
    stem, suffix = (
        ("model", "safetensors") if weights == "safetensors" else ("pytorch_model", "bin")
    )
    weight_map = {}
    for shard in range(shards):
        part = dict(list(state.items())[shard::shards])
        file = f"{stem}.{suffix}"
        if shards > 1:
            file = f"{stem}-{shard + 1:05}-of-{shards:05}.{suffix}"
        weight_map.update(dict.fromkeys(part, file))
        if weights == "safetensors":
            save_file(part, folder / file, metadata={"format": "pt"})
        else:
            torch.save(part, folder / file)
    if shards > 1:
        index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))


def _write_old_style(path: Path) -> None:
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None
    if rope["rope_type"] != "default":
        config["rope_scaling"] = {"type": rope.pop("rope_type"), **rope}
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config))


def load_tiny(
    folder: Path, *, dtype: str = "float32", kernels: Kernels | None = None, **options: Any
) -> CausalLM:
    """Load a checkpoint with our decoder on the CPU; ``options`` go to load_model_config."""
    config = load_model_config(str(folder), dtype=dtype, **options)
    return load_model(
        config,
        device=torch.device("cpu"),
        kernels=kernels or ReferenceKernels(),
        show_progress=False,
    )


class HandDriver:
    """Runs a model step by step over a pool whose slots are dealt out at random."""

    def __init__(
        self,
        model: CausalLM,
        *,
        dtype: torch.dtype = torch.float32,
        num_slots: int = 1024,
        width: int = 300,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.pool = KVPool(
            model.num_layers,
            num_slots,
            model.num_kv_heads,
            model.head_dim,
            dtype,
            ReferenceKernels().allocate,
            getattr(model, "latent_dim", 0),
        )
        for cache in self.pool.layers:  # reading a slot that was never written must show
            cache.k.fill_(torch.nan)
            cache.v.fill_(torch.nan)
        generator = torch.Generator().manual_seed(seed)
        self._free = torch.randperm(num_slots, generator=generator).tolist()
        self._width = width
        self._slots: dict[str, list[int]] = {}

    def share_prefix(self, source: str, name: str, length: int) -> None:
        """Start sequence ``name`` with the first ``length`` tokens of ``source``: a cache hit."""
        self._slots[name] = self._slots[source][:length]

    def step(self, work: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
        """Feed each named sequence its next tokens, all in one batch.

        Returns the logits [n, V] at every one of those tokens.
        """
        batch = self.make_batch(work)
        with torch.inference_mode():
            logits = self.model.logits(self.model.forward(batch))
        lengths = [len(tokens) for tokens in work.values()]
        return dict(zip(work, logits.split(lengths), strict=True))

    def make_batch(self, work: Mapping[str, Sequence[int]]) -> ForwardBatch:
        """The batch of :meth:`step`, with slots dealt out; logits are wanted at every token."""
        lengths = [len(tokens) for tokens in work.values()]
        out_slots: list[int] = []
        positions: list[int] = []
        table = torch.full((len(work), self._width), -1, dtype=torch.int32)
        for row, (name, tokens) in enumerate(work.items()):
            slots = self._slots.setdefault(name, [])
            new = [self._free.pop() for _ in tokens]
            positions += range(len(slots), len(slots) + len(new))
            slots += new
            out_slots += new
            table[row, : len(slots)] = torch.tensor(slots, dtype=torch.int32)
        kv_len = [len(self._slots[name]) for name in work]
        ids = [token for tokens in work.values() for token in tokens]
        return ForwardBatch(
            input_ids=torch.tensor(ids),
            positions=torch.tensor(positions, dtype=torch.int32),
            out_slots=torch.tensor(out_slots, dtype=torch.int32),
            attention=AttentionMeta(
                q_indptr=torch.tensor([0, *lengths]).cumsum(0).int(),
                kv_slots=table.flatten(),
                kv_start=torch.arange(len(work)) * self._width,
                kv_len=torch.tensor(kv_len, dtype=torch.int32),
                max_q_len=max(lengths),
                max_kv_len=max(kv_len),
            ),
            logits_rows=torch.arange(len(ids)),
            kv_pool=self.pool,
        )

    def greedy(self, name: str, prompt: Sequence[int], steps: int) -> list[int]:
        """Read ``prompt`` at once and generate ``steps`` tokens."""
        logits = self.step({name: prompt})[name]
        tokens = [int(logits[-1].argmax())]
        while len(tokens) < steps:
            tokens.append(int(self.step({name: tokens[-1:]})[name][-1].argmax()))
        return tokens


def load_oracle(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The same checkpoint in transformers, with its plain attention."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager"
    ).eval()


def oracle_greedy(oracle: Any, prompt: Sequence[int], steps: int) -> list[int]:
    """``steps`` greedy tokens of transformers, past any end token."""
    with torch.inference_mode():
        output = oracle.generate(
            torch.tensor([list(prompt)]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=steps,
            eos_token_id=-1,
            pad_token_id=0,
        )
    return list(output[0, len(prompt) :].tolist())


def oracle_logits(oracle: Any, tokens: Sequence[int]) -> torch.Tensor:
    """Logits [n, V] float32 of transformers at every token."""
    with torch.inference_mode():
        logits: torch.Tensor = oracle(torch.tensor([list(tokens)])).logits[0].float()
        return logits


def random_tokens(count: int, vocab_size: int, seed: int = 0) -> list[int]:
    """``count`` token ids."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocab_size, (count,), generator=generator).tolist()
