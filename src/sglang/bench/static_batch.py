"""A batch of equal requests that start together: the latency of prefill and of each decode step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sglang.bench.in_process import Step


@dataclass(frozen=True)
class BatchTimes:
    """How long a batch took."""

    batch_size: int
    input_len: int
    output_len: int
    prefill_s: float
    """Until the last request has its first token."""
    decode_s: tuple[float, ...]
    """Of each later step in which every request got a token."""
    total_s: float

    @classmethod
    def of(
        cls, steps: Sequence[Step], batch_size: int, input_len: int, output_len: int
    ) -> BatchTimes:
        """Sort the steps of a run into prefill and decode."""
        started: set[str] = set()
        prefill, decode = 0.0, []
        for step in steps:
            if len(started) < batch_size:
                started.update(output.rid for output in step.outputs)
                prefill += step.seconds
            elif len(step.outputs) == batch_size:
                decode.append(step.seconds)
        total = sum(step.seconds for step in steps)
        return cls(batch_size, input_len, output_len, prefill, tuple(decode), total)

    def figures(self, weight_bytes: int, kv_token_bytes: int) -> dict[str, float]:
        """Latencies and rates by name.

        ``weight_bytes`` are read in every decode step (0: not known), and ``kv_token_bytes`` for
        each token of each sequence. Rates are a second, bandwidths 10^9 bytes a second.
        """
        found = {
            "prefill_latency_ms": self.prefill_s * 1e3,
            "prefill_throughput": self.batch_size * self.input_len / self.prefill_s,
            "total_latency_ms": self.total_s * 1e3,
            "total_throughput": self.batch_size * (self.input_len + self.output_len) / self.total_s,
        }
        if not self.decode_s:
            return found
        median = float(np.median(self.decode_s))
        kv_bytes = self.batch_size * (self.input_len + self.output_len / 2) * kv_token_bytes
        found |= {
            "median_decode_ms": median * 1e3,
            "p99_decode_ms": float(np.percentile(self.decode_s, 99)) * 1e3,
            "decode_throughput": self.batch_size / median,
        }
        if weight_bytes:
            found["weight_bandwidth_gb_s"] = weight_bytes / median / 1e9
            found["memory_bandwidth_gb_s"] = (weight_bytes + kv_bytes) / median / 1e9
        return found
