"""What one server has to tell Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, core, generate_latest
from prometheus_client.registry import Collector

from sglang.srt.metrics import catalog
from sglang.srt.metrics.tallies import Histogram, Number


class ServerMetrics:
    """The numbers of one server, in a registry of its own. To be used on one thread.

    Times are in seconds.
    """

    def __init__(self, model_name: str) -> None:
        self.registry = CollectorRegistry()
        """For collectors of one's own as well."""
        self._model = (model_name,)
        self._numbers = {
            metric.name: Number(metric) for metric in catalog.METRICS if metric.kind != "histogram"
        }
        self._histograms = {
            metric.name: Histogram(metric)
            for metric in catalog.METRICS
            if metric.kind == "histogram"
        }
        # The two that every token touches.
        self._generated = self._numbers[catalog.GENERATION_TOKENS.name]
        self._token_gaps = self._histograms[catalog.INTER_TOKEN_LATENCY.name]
        self._show_zeros()
        self.registry.register(_Page(self._numbers, self._histograms))
        ProcessCollector(registry=self.registry)

    # ----------------------------------------------------------------- requests

    def generated(self, tokens: int) -> None:
        """A step has brought a request ``tokens`` new tokens."""
        self._generated.add(tokens, self._model)

    def waited(self, seconds: float) -> None:
        """A request was admitted to its first step."""
        self._observe(catalog.QUEUE_TIME, seconds)

    def first_token(self, seconds: float, *, prompt_tokens: int, cached_tokens: int) -> None:
        """A request has got its first token, ``seconds`` after it came."""
        self._observe(catalog.TIME_TO_FIRST_TOKEN, seconds)
        self.prompt(prompt_tokens, cached_tokens)

    def prompt(self, prompt_tokens: int, cached_tokens: int) -> None:
        """A prompt has been processed."""
        self._add(catalog.PROMPT_TOKENS, prompt_tokens)
        self._add(catalog.CACHED_TOKENS, cached_tokens)

    def next_tokens(self, seconds: float, count: int) -> None:
        """A request has got ``count`` further tokens, ``seconds`` after those before."""
        self._token_gaps.observe(seconds / count, self._model, count)

    def finished(self, seconds: float, reason: str, token_seconds: float | None) -> None:
        """A request has ended; ``token_seconds`` is its mean time between tokens, if any."""
        self._observe(catalog.E2E_LATENCY, seconds)
        self._add(catalog.REQUESTS, 1, reason)
        if token_seconds is not None:
            self._observe(catalog.TIME_PER_OUTPUT_TOKEN, token_seconds)

    def function(self, name: str, seconds: float) -> None:
        """The time that a part of the server's work has taken."""
        self._histograms[catalog.FUNCTION_LATENCY.name].observe(seconds, (name,))

    # ----------------------------------------------------------------- engine and HTTP

    def engine(self, report: Mapping[str, Any]) -> None:
        """Take over the engine's own numbers; what it does not know stays as it was."""
        for metric in catalog.ENGINE:
            if metric.engine_key in report:
                self._numbers[metric.name].set(report[metric.engine_key], self._model)

    def http_started(self) -> None:
        self._numbers[catalog.HTTP_ACTIVE.name].add(1, ())

    def http_finished(self, route: str, method: str, status: int, seconds: float) -> None:
        """``route`` is the pattern of the path, so that there are only so many of them."""
        self._numbers[catalog.HTTP_ACTIVE.name].add(-1, ())
        self._numbers[catalog.HTTP_REQUESTS.name].add(1, (route, method, str(status)))
        self._histograms[catalog.HTTP_LATENCY.name].observe(seconds, (route, method))

    # ----------------------------------------------------------------- reading

    def render(self) -> bytes:
        """The page in the text format 0.0.4 of Prometheus."""
        return generate_latest(self.registry)

    def _add(self, metric: catalog.Metric, amount: float, *more: str) -> None:
        self._numbers[metric.name].add(amount, (*self._model, *more))

    def _observe(self, metric: catalog.Metric, value: float) -> None:
        self._histograms[metric.name].observe(value, self._model)

    def _show_zeros(self) -> None:
        """Let rates begin at zero instead of at the first event."""
        for metric in catalog.METRICS:
            if metric.kind == "histogram" and metric.labels == catalog.MODEL:
                self._histograms[metric.name].series(self._model)
            elif metric.labels == catalog.MODEL:
                self._numbers[metric.name].set(0, self._model)
        for reason in catalog.FINISH_REASONS:
            self._add(catalog.REQUESTS, 0, reason)
        self._numbers[catalog.HTTP_ACTIVE.name].set(0, ())


class _Page(Collector):
    """Hands the numbers over when Prometheus asks."""

    def __init__(self, numbers: Mapping[str, Number], histograms: Mapping[str, Histogram]) -> None:
        self._tallies = [
            numbers.get(metric.name) or histograms[metric.name] for metric in catalog.METRICS
        ]

    def collect(self) -> Iterator[core.Metric]:
        return (tally.family() for tally in self._tallies)
