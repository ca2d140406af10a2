"""What clients do that mean harm, over real connections; the server keeps serving the others."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import logging
import pickle
import re
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_runtime import CONTEXT_LENGTH, FakeEngine, RunningServer, make_state, repeat_prompt, serve

from sglang.srt.entrypoints.app import create_app
from sglang.srt.entrypoints.http_protocol import BoundedHttpProtocol
from sglang.srt.entrypoints.openapi.document import build_document
from sglang.srt.server_args import ServerArgs

KEY = "a-key-that-nobody-knows"


def connect(server: RunningServer) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def head(path: str, length: int, **more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


# --------------------------------------------------------------------------------------
# Pickles
# --------------------------------------------------------------------------------------


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


def test_the_bomb_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(str(tmp_path / "trace"))))
    assert (tmp_path / "trace").exists()


def test_a_pickle_is_data_on_every_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_hub(*args: Any, **options: Any) -> str:
        raise OSError("there is no network")

    monkeypatch.setattr("sglang.srt.entrypoints.weights.resolve_model_path", no_hub)
    trace = tmp_path / "trace"
    raw = pickle.dumps(Bomb(str(trace)))
    texts = [base64.b64encode(raw).decode(), raw.hex(), raw.decode("latin-1")]
    document = build_document()
    with serve(file_storage_pth=str(tmp_path / "storage")) as server:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
            for path, methods in document["paths"].items():
                real = re.sub(r"\{[^}]*\}", "x", path)
                for method, operation in methods.items():
                    kinds = {"Content-Type": "application/octet-stream"}
                    assert (
                        client.request(method, real, content=raw, headers=kinds).status_code < 500
                    )
                    content = operation.get("requestBody", {}).get("content", {})
                    if "application/json" not in content:
                        continue
                    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
                    fields = document["components"]["schemas"][name]["properties"]
                    for text in texts:
                        body = dict.fromkeys(fields, text)
                        assert client.request(method, real, json=body).status_code < 500
        server.assert_idle()
    assert not trace.exists()


# --------------------------------------------------------------------------------------
# Keys
# --------------------------------------------------------------------------------------


def test_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return original(a, b)

    monkeypatch.setattr("sglang.srt.entrypoints.auth.hmac.compare_digest", spy)
    with serve(api_key=KEY) as server:
        headers = {"Authorization": "Bearer wrong"}
        answer = httpx.get(f"{server.url}/v1/models", headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert (b"wrong", KEY.encode()) in compared


def test_keys_are_in_no_log_and_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        serve(api_key=KEY, log_requests=True) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        headers = {"Authorization": f"Bearer {KEY}"}
        answers = [
            client.get("/get_server_info", headers=headers),
            client.post("/generate", json={"text": "a"}, headers=headers),
            client.post("/generate", json={"typo": 1}, headers=headers),
            client.get("/v1/models", headers={"Authorization": f"Bearer {KEY}x"}),
            client.get("/openapi.json", headers=headers),
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 400, 401, 200]
    assert not any(KEY in answer.text for answer in answers)
    assert KEY not in caplog.text


def test_a_server_listens_on_this_machine_only_unless_told_otherwise() -> None:
    assert ServerArgs(model_path="fake").host == "127.0.0.1"


def test_no_route_has_cors_headers_by_default() -> None:
    with serve() as server:
        answer = httpx.get(f"{server.url}/v1/models", trust_env=False)
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_no_route_is_left_out_of_the_rule() -> None:
    """Nothing but plain routes: a mount or a websocket would go by the table."""
    app: Any = create_app(make_state(FakeEngine(repeat_prompt)))
    assert {type(route).__name__ for route in app.routes} == {"Route"}


# --------------------------------------------------------------------------------------
# Bodies
# --------------------------------------------------------------------------------------


def test_a_body_of_100_mb_is_refused_before_it_comes() -> None:
    with serve(http=BoundedHttpProtocol) as server, connect(server) as connection:
        connection.sendall(head("/generate", 100 << 20))
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
        assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200


def test_a_compressed_body_is_not_unpacked(server: RunningServer, client: httpx.Client) -> None:
    bomb = gzip.compress(b'{"text": "' + b"a" * (1 << 20) + b'"}')
    answer = client.post("/generate", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert "not valid JSON" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/generate", "/v1/completions", "/v1/chat/completions"])
def test_a_prompt_beyond_the_context_is_refused_with_both_lengths(
    client: httpx.Client, path: str
) -> None:
    text = "x" * (CONTEXT_LENGTH + 100)
    bodies = {
        "/generate": {"text": text},
        "/v1/completions": {"prompt": text},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": text}]},
    }
    answer = client.post(path, json=bodies[path])
    message = answer.json()["error"]["message"]
    lengths = [int(number) for number in re.findall(r"\d+", message)]
    assert answer.status_code == 400
    assert CONTEXT_LENGTH in lengths and max(lengths) >= len(text), message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(client: httpx.Client, number: str) -> None:
    for path, body in (
        ("/generate", '{"text": "a", "sampling_params": {"temperature": %s}}'),
        ("/v1/completions", '{"prompt": "a", "temperature": %s}'),
        ("/v1/messages", '{"model": "m", "max_tokens": 1, "temperature": %s, "messages": '
         '[{"role": "user", "content": "a"}]}'),
    ):  # fmt: skip
        assert client.post(path, content=body % number).status_code == 400


def test_a_thousand_stop_strings_are_too_many(client: httpx.Client) -> None:
    stops = [f"stop {i}" for i in range(1000)]
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/generate", {"text": "a", "sampling_params": {"stop": stops}}),
        ("/v1/completions", {"prompt": "a", "stop": stops}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "stop": stops}),
    ]
    for path, body in bodies:
        answer = client.post(path, json=body)
        assert answer.status_code == 400
        assert "at most 128 strings" in answer.json()["error"]["message"]


# --------------------------------------------------------------------------------------
# Connections
# --------------------------------------------------------------------------------------


def test_a_client_that_closes_its_half_still_gets_no_ghost() -> None:
    """Whether it gets its answer or not, nothing of its request is left."""
    body = json.dumps({"text": "hello"}).encode()
    with serve(http=BoundedHttpProtocol) as server:
        with connect(server) as connection:
            connection.sendall(head("/generate", len(body), Connection="close") + body)
            connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 200")
        server.assert_idle()
        assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200


def test_a_body_that_is_cut_off_leaves_nothing() -> None:
    with serve(http=BoundedHttpProtocol) as server:
        with connect(server) as connection:
            connection.sendall(head("/generate", 100) + b'{"text": ')
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)
        assert not server.engine.requests
        server.assert_idle()


def test_drips_of_many_clients_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sglang.srt.entrypoints.http_protocol.HEAD_SECONDS", 0.3)
    with serve(http=BoundedHttpProtocol) as server:
        slow = [connect(server) for _ in range(50)]
        for connection in slow:
            connection.sendall(b"POST /generate HTTP/1.1\r\nX-a: ")
        url = f"{server.url}/generate"
        assert httpx.post(url, json={"text": "a"}, trust_env=False).status_code == 200
        until = time.monotonic() + 20
        for connection in slow:  # a byte now and then keeps none of them
            connection.settimeout(0.01)
            closed = False
            while not closed and time.monotonic() < until:
                try:
                    connection.sendall(b"b")
                    closed = connection.recv(1) == b""
                except TimeoutError:
                    continue
                except OSError:
                    closed = True
            connection.close()
            assert closed


def test_garbage_instead_of_http_ends_the_connection() -> None:
    with serve(http=BoundedHttpProtocol) as server:
        for data in (b"\x16\x03\x01\x02\x00" * 20, b"GET\r\n", b"\0" * 100, b"PRI * HTTP/2.0"):
            with connect(server) as connection:
                connection.sendall(data + b"\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
                answer = read_all(connection)
                assert answer == b"" or b" 400 " in answer.partition(b"\r\n")[0]
        assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200


def test_two_lengths_are_refused() -> None:
    """What two servers read differently smuggles requests past the first."""
    body = b'{"text": "a"}'
    for more in ({"Content-length": "5"}, {"Transfer_Encoding": "chunked"}):
        with serve(http=BoundedHttpProtocol) as server, connect(server) as connection:
            connection.sendall(head("/generate", len(body), **more) + body)
            connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
            assert answer == b"" or b" 400 " in answer.partition(b"\r\n")[0]
            assert not server.engine.requests
