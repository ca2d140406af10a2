"""Request ids, and what the log says of requests."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import httpx
import pytest
from fake_runtime import RunningServer, say, serve

from sglang.srt.logs.request_id import REQUEST_ID
from sglang.srt.logs.setup import JsonFormatter


@pytest.fixture(scope="module")
def talkative() -> Iterator[RunningServer]:
    with serve(say("Hello"), log_requests=True, show_time_cost=True) as running:
        yield running


def logged(caplog: pytest.LogCaptureFixture, start: str) -> logging.LogRecord:
    """The only line that begins with ``start``."""
    (found,) = [record for record in caplog.records if record.getMessage().startswith(start)]
    return found


def access_line(server: RunningServer, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """The only one; it comes when the client has its answer already."""

    def lines() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "sglang.access"]

    server.wait_until(lambda: bool(lines()))
    (found,) = lines()
    return found


def generate(server: RunningServer, **body: object) -> httpx.Response:
    headers = {"X-Request-Id": "req-1"}
    return httpx.post(f"{server.url}/generate", json={"text": "hi", **body}, headers=headers)


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/nowhere", "/generate"])
def test_an_id_comes_back(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"X-Request-Id": "abc-123"})
    assert answer.headers.get_list("x-request-id") == ["abc-123"]


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 129, "caf\u00e9".encode("latin-1")])
def test_a_request_without_a_usable_id_gets_one(client: httpx.Client, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    first = client.get("/health", headers=headers).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert client.get("/health", headers=headers).headers["x-request-id"] != first


@pytest.mark.parametrize("stream", [False, True])
def test_ids_are_on_answers_and_streams(client: httpx.Client, stream: bool) -> None:
    body = {"text": "hi", "stream": stream}
    answer = client.post("/generate", json=body, headers={"X-Request-Id": "abc"})
    assert answer.headers["x-request-id"] == "abc"


def test_ids_are_on_refusals_and_defects(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(api_key="key") as server:
        headers = {"X-Request-Id": "abc"}
        assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == 401
        headers["Authorization"] = "Bearer key"
        monkeypatch.setattr(type(server.state), "model_name", None)
        answer = httpx.get(f"{server.url}/get_model_info", headers=headers)
        assert answer.headers["x-request-id"] == "abc"
        monkeypatch.delattr(type(server.state), "model_name")
        answer = httpx.get(f"{server.url}/v1/models", headers=headers)
        assert (answer.status_code, answer.headers["x-request-id"]) == (500, "abc")


def test_the_access_line(
    server: RunningServer, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sglang.access"):
        client.get("/health?secret=1", headers={"X-Request-Id": "abc"})
        record = access_line(server, caplog)
    pattern = r'127\.0\.0\.1:\d+ - "GET /health" 200, \d+\.\d ms, id: abc'
    assert re.fullmatch(pattern, record.getMessage())
    assert record.__dict__["fields"]["status"] == 200


def test_the_access_line_is_one_line_whatever_the_path(
    server: RunningServer, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sglang.access"):
        client.get("/x%0Aforged%1B[31m")
        record = access_line(server, caplog)
    assert record.getMessage().isprintable()


def test_quiet_http_logs(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="sglang.access"):
        client.get("/health")
    assert [r for r in caplog.records if r.name == "sglang.access"] == []


def test_requests_are_logged_with_input_and_output(
    talkative: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        generate(talkative, rid="r1", sampling_params={"temperature": 0})
    received = logged(caplog, "Receive: ").__dict__["fields"]
    assert received == {
        "rids": ["r1"],
        "request_id": "req-1",
        "request": {"text": "hi", "sampling_params": {"temperature": 0}},
    }
    finished = logged(caplog, "Finish: ").__dict__["fields"]
    assert finished["request_id"] == "req-1"
    assert (finished["output"], finished["completion_tokens"]) == ("Hello", 6)
    assert finished["finish_reason"]["type"] == "stop"


def test_long_texts_are_cut_in_the_log(
    talkative: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        generate(talkative, text="x" * 300, sampling_params={"stop": "y" * 60_000})
        assert "60000 characters" not in caplog.text  # refused before it was logged
        generate(talkative, text=["x" * 300] * 20)
    assert len(logged(caplog, "Receive: ").getMessage()) < 20 * 400


def test_the_time_of_a_request_is_told_in_parts(
    talkative: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        generate(talkative, rid="r2")
    record = logged(caplog, "Time cost. ")
    ms = r"\d+\.\d ms"
    assert re.fullmatch(
        rf"Time cost\. tokenize: {ms}, queue: {ms}, prefill: {ms}, decode: {ms}, total: {ms}, "
        r"#token: 6, rid: 'r2'",
        record.getMessage(),
    )
    fields = record.__dict__["fields"]
    parts = sum(fields[f"{name}_ms"] for name in ("tokenize", "queue", "prefill", "decode"))
    assert 0 < parts <= fields["total_ms"] * 1.001


def test_nothing_is_said_unless_asked_for(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.post("/generate", json={"text": "hi"})
    lines = [record.getMessage() for record in caplog.records]
    assert not [line for line in lines if line.startswith(("Receive", "Finish", "Time cost"))]


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    logger = logging.getLogger("test")
    return logger.makeRecord("test", logging.INFO, "file", 1, message, args, None, extra=extra)


def test_a_json_line() -> None:
    line = JsonFormatter().format(record("%d\n%s", 1, "a", fields={"status": 200}))
    assert "\n" not in line
    parsed = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", parsed.pop("time"))
    assert parsed == {"level": "info", "logger": "test", "message": "1\na", "status": 200}


def test_a_json_line_of_a_request_and_of_an_error() -> None:
    token = REQUEST_ID.set("abc")
    try:
        raise ValueError("no")
    except ValueError:
        failed = record("failed")
        import sys

        failed.exc_info = sys.exc_info()
    parsed = json.loads(JsonFormatter().format(failed))
    REQUEST_ID.reset(token)
    assert parsed["request_id"] == "abc"
    assert parsed["exception"].endswith("ValueError: no")


def test_what_json_does_not_know_is_written_as_text() -> None:
    assert json.loads(JsonFormatter().format(record("x", fields={"a": {1}})))["a"] == "{1}"
