"""The numbers behind the metrics: plain counts that cost next to nothing to raise.

A server raises them on one thread many thousand times a second, and Prometheus looks at them every
few seconds. So they are kept without locks, and become the library's samples only when they are
read.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from prometheus_client import core
from prometheus_client.utils import floatToGoString

from sglang.srt.metrics.catalog import Metric

Labels = tuple[str, ...]
"""The values of a metric's labels, in the order of their names."""


class Number:
    """A counter or a gauge: a number for each combination of label values."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._values: dict[Labels, float] = {}

    def add(self, amount: float, labels: Labels) -> None:
        self._values[labels] = self._values.get(labels, 0.0) + amount

    def set(self, value: float, labels: Labels) -> None:
        self._values[labels] = value

    def family(self) -> core.Metric:
        """The samples as they are now."""
        metric = self._metric
        kind = core.CounterMetricFamily if metric.kind == "counter" else core.GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=metric.labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return family


class Histogram:
    """How often values fell between the bounds of a metric, for each combination of labels."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._bounds = metric.buckets
        self._series: dict[Labels, _Series] = {}

    def observe(self, value: float, labels: Labels, count: int = 1) -> None:
        """Note ``value``, ``count`` times."""
        series = self.series(labels)
        series.counts[bisect_left(self._bounds, value)] += count
        series.sum += value * count

    def series(self, labels: Labels) -> _Series:
        """The numbers of one combination of labels, from now on shown even if all are zero."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = _Series(len(self._bounds) + 1)
        return found

    def family(self) -> core.Metric:
        """The samples as they are now."""
        metric = self._metric
        family = core.HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, series in self._series.items():
            cumulative = list(zip(names, accumulate(series.counts), strict=True))
            family.add_metric(labels, cumulative, series.sum)
        return family


class _Series:
    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum = 0.0
