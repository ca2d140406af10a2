"""OpenTelemetry: a span for each request, with its time in the queue, of prefill and of decoding.

The spans are made when a request has ended, of times that were noted on the way, so that tracing
costs nothing while tokens come. Attributes have the names of OpenTelemetry's conventions for
generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/) where there are any.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE = "sglang"
EXPORT_SECONDS = 5
"""How long a collector may take to answer, also when the server ends."""


@dataclass(frozen=True)
class Phase:
    """A part of a request's time, in seconds of the monotonic clock."""

    name: str
    start: float
    end: float


class RequestTracer:
    """Sends spans to a collector, from a thread of its own."""

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        name = os.environ.get("OTEL_SERVICE_NAME", SERVICE)
        self._provider = TracerProvider(resource=Resource.create({"service.name": name}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE)

    def request(
        self,
        whole: Phase,
        parts: list[Phase],
        attributes: Mapping[str, Any],
        *,
        traceparent: str = "",
        error: str | None = None,
    ) -> None:
        """A request that has ended; ``traceparent`` is the header that it came with (W3C)."""
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        offset = time.time_ns() - time.monotonic_ns()

        def nanoseconds(seconds: float) -> int:
            return offset + int(seconds * 1e9)

        carrier = {"traceparent": traceparent} if traceparent else {}
        span = self._tracer.start_span(
            whole.name,
            context=TraceContextTextMapPropagator().extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes={name: value for name, value in attributes.items() if value is not None},
            start_time=nanoseconds(whole.start),
        )
        inside = trace.set_span_in_context(span)
        for part in parts:
            child = self._tracer.start_span(
                part.name, context=inside, start_time=nanoseconds(part.start)
            )
            child.end(nanoseconds(part.end))
        if error is not None:
            span.set_status(trace.StatusCode.ERROR, error)
        span.end(nanoseconds(whole.end))

    def close(self) -> None:
        """Send what is left. Idempotent."""
        self._provider.shutdown()


def make_tracer(endpoint: str | None) -> RequestTracer | None:
    """A tracer that sends to the collector at ``endpoint``, by OTLP over HTTP.

    Raises:
        ValueError: the address is none, or the packages are not installed.
    """
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(
            f"otlp_traces_endpoint is {endpoint!r}; it must be an address like "
            "http://localhost:4318/v1/traces"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ValueError(
            f"--otlp-traces-endpoint needs OpenTelemetry (pip install 'sglang[tracing]'): {error}"
        ) from None
    address = endpoint if parts.path.strip("/") else f"{endpoint.rstrip('/')}/v1/traces"
    return RequestTracer(OTLPSpanExporter(endpoint=address, timeout=EXPORT_SECONDS))
