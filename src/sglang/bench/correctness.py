"""Prefill logits and greedy text of a few prompts, to be compared with another implementation."""

from __future__ import annotations

import torch

from sglang.bench.correctness_report import PROMPTS, print_report
from sglang.bench.in_process import InProcessEngine
from sglang.bench.tokenizers import open_tokenizer
from sglang.srt.model_executor.forward_batch import ForwardBatch
from sglang.srt.models.interface import CausalLM
from sglang.srt.server_args import ServerArgs


class LogitsRecorder:
    """A model that remembers what it has scored."""

    def __init__(self, model: CausalLM) -> None:
        self.num_layers = model.num_layers
        self.num_kv_heads = model.num_kv_heads
        self.head_dim = model.head_dim
        self.latent_dim: int = getattr(model, "latent_dim", 0)
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
        print_report(prompt, ids, logits, tokenizer.decode(tokens))
