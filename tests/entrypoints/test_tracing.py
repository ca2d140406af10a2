"""Traces: what a collector gets to know of requests."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import httpx
import pytest
from fake_runtime import serve
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sglang.srt.managers.io_struct import FinishReason
from sglang.srt.metrics.tracing import make_tracer
from sglang.srt.server_args import ServerArgs

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[ExportTraceServiceRequest] = []

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans() if span.name == name]


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            data = self.rfile.read(int(self.headers["Content-Length"]))
            collector.received.append(ExportTraceServiceRequest.FromString(data))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def traced(*bodies: dict[str, Any], **headers: str) -> Collector:
    """What is known after a server has answered and ended."""
    with collecting() as collector:
        with serve(otlp_traces_endpoint=collector.url) as server:
            server.engine.failures["bad"] = FinishReason("abort", message="no", status=400)
            for body in bodies:
                httpx.post(f"{server.url}/generate", json=body, headers=headers, trust_env=False)
        return collector


def attributes(span: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


def test_a_request_is_a_span_with_its_phases() -> None:
    collector = traced({"text": "hello", "sampling_params": {"max_new_tokens": 3}})
    [request] = collector.named("request")
    parts = [span for span in collector.spans() if span.parent_span_id == request.span_id]
    assert [span.name for span in parts] == ["tokenize", "queue", "prefill", "decode"]
    for first, second in pairwise(parts):
        assert first.start_time_unix_nano <= first.end_time_unix_nano
        assert first.end_time_unix_nano == second.start_time_unix_nano
    assert request.start_time_unix_nano == parts[0].start_time_unix_nano
    assert request.end_time_unix_nano >= parts[-1].end_time_unix_nano


def test_a_span_says_what_the_request_was() -> None:
    [request] = traced({"text": "hello", "rid": "r", "sampling_params": {"top_p": 0.5}}).named(
        "request"
    )
    told = attributes(request)
    assert told["gen_ai.request.model"] == "fake"
    assert told["gen_ai.response.id"] == "r"
    assert told["gen_ai.request.top_p"] == 0.5
    assert told["gen_ai.usage.input_tokens"] == 5
    assert told["gen_ai.usage.output_tokens"] == 6
    assert told["sglang.request_id"]


def test_the_service_has_a_name() -> None:
    [resource] = traced({"text": "a"}).received[0].resource_spans
    assert ("service.name", "sglang") in [
        (each.key, each.value.string_value) for each in resource.resource.attributes
    ]


def test_a_trace_of_the_client_goes_on() -> None:
    collector = traced({"text": "hello"}, traceparent=f"00-{TRACE}-{PARENT}-01")
    assert {span.trace_id.hex() for span in collector.spans()} == {TRACE}
    [request] = collector.named("request")
    assert request.parent_span_id.hex() == PARENT


@pytest.mark.parametrize("header", ["", "garbage", f"00-{TRACE}-{'0' * 16}-01", "00-é-1-1"])
def test_a_wrong_parent_is_none(header: str) -> None:
    [request] = traced({"text": "hello"}, traceparent=header.encode()).named("request")
    assert request.parent_span_id == b""


def test_what_a_client_does_not_sample_is_not_sent() -> None:
    assert traced({"text": "hello"}, traceparent=f"00-{TRACE}-{PARENT}-00").spans() == []


def test_a_request_that_fails_says_why() -> None:
    [request] = traced({"text": "bad"}).named("request")
    assert request.status.message == "no"


def test_every_sequence_of_a_batch_has_a_span() -> None:
    body = {"text": ["a", "b"], "sampling_params": {"n": 2}}
    assert len(traced(body).named("request")) == 4


def test_no_prompt_is_in_a_trace() -> None:
    collector = traced({"text": "a secret prompt"})
    assert not any(b"secret" in request.SerializeToString() for request in collector.received)


def test_a_collector_that_is_not_there_holds_up_no_request() -> None:
    with serve(otlp_traces_endpoint="http://127.0.0.1:9") as server:
        answer = httpx.post(f"{server.url}/generate", json={"text": "a"}, trust_env=False)
        assert answer.status_code == 200


def test_it_is_off_by_default() -> None:
    assert make_tracer(ServerArgs(model_path="fake").otlp_traces_endpoint) is None


@pytest.mark.parametrize("endpoint", ["localhost:4317", "grpc://localhost:4317", "http://", "x"])
def test_a_wrong_address_is_named(endpoint: str) -> None:
    with pytest.raises(ValueError, match="otlp_traces_endpoint is"):
        make_tracer(endpoint)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"pip install 'sglang\[tracing\]'"):
        make_tracer("http://localhost:4318")
