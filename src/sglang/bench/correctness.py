"""Prefill logits and greedy text of a few prompts, to be compared with another implementation."""

from __future__ import annotations

import torch

from sglang.bench.in_process import InProcessEngine
from sglang.bench.tokenizers import open_tokenizer
from sglang.srt.model_executor.forward_batch import ForwardBatch
from sglang.srt.models.interface import CausalLM
from sglang.srt.server_args import ServerArgs

PROMPTS = (
    "The capital of France is",
    "The capital of the United Kingdom is",
    "Today is a sunny day and I like",
)


class LogitsRecorder:
    """A model that remembers what it has scored."""

    def __init__(self, model: CausalLM) -> None:
        self.num_layers = model.num_layers
        self.num_kv_heads = model.num_kv_heads
        self.head_dim = model.head_dim
        self.vocab_size = model.vocab_size
        self.recorded: list[torch.Tensor] = []
        """[R, V] float32 of each call."""
        self._model = model

    def forward(self, batch: ForwardBatch) -> torch.Tensor:
        return self._model.forward(batch)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        scores = self._model.logits(hidden)
        self.recorded.append(scores.clone())
        return scores


def print_outputs(args: ServerArgs, output_len: int) -> None:
    """For each of PROMPTS the logits [V] after its last token, and ``output_len`` greedy tokens."""
    tokenizer = open_tokenizer(args.tokenizer_path, revision=args.revision)
    engine = InProcessEngine(args)
    recorder = LogitsRecorder(engine.runner.model)
    engine.runner.model = recorder
    for prompt in PROMPTS:
        recorder.recorded.clear()
        ids = tokenizer.encode(prompt)
        steps = engine.run([ids], [output_len])
        tokens = [i for step in steps for output in step.outputs for i in output.token_ids]
        logits = recorder.recorded[0][0]
        best = logits.topk(min(5, len(logits)))
        print(f"prompt: {prompt!r}")
        print(f"token ids: {ids}")
        print(f"prefill logits {list(logits.shape)}: {logits}")
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        print("largest: " + ", ".join(f"{i}: {value:.4f}" for i, value in pairs))
        print(f"output: {tokenizer.decode(tokens)!r}\n", flush=True)
