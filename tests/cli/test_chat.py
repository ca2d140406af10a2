"""``sglang chat`` as its user sees it, against a server that echoes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sglang.cli.chat_client import ChatError, connect
from tests.cli.fake_server import FakeServer, fake_server


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as state:
        yield state


def chat(url: str, typed: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a chat with ``typed`` as piped input."""
    command = [sys.executable, "-m", "sglang", "chat", "--url", url, *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60)


def roles_and_texts(request: dict[str, list[dict[str, str]]]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request["messages"]]


def test_answers_go_to_standard_output(server: FakeServer) -> None:
    done = chat(server.url, "hello there\nbye\n")
    assert done.stdout == "You said: hello there \nYou said: bye \n"
    assert done.returncode == 0


def test_a_later_question_carries_the_history(server: FakeServer) -> None:
    chat(server.url, "one\ntwo\n")
    assert roles_and_texts(server.requests[1]) == [
        ("user", "one"),
        ("assistant", "You said: one "),
        ("user", "two"),
    ]


def test_reset_forgets_the_history_but_not_the_system_prompt(server: FakeServer) -> None:
    chat(server.url, "/system Be brief.\none\n/reset\ntwo\n")
    assert roles_and_texts(server.requests[1]) == [("system", "Be brief."), ("user", "two")]


def test_settings_reach_the_server(server: FakeServer) -> None:
    chat(server.url, "hi\n", "--temperature", "0", "--max-tokens", "7", "--system", "Be kind.")
    request = server.requests[0]
    assert (request["temperature"], request["max_tokens"]) == (0, 7)
    assert request["messages"][0] == {"role": "system", "content": "Be kind."}


def test_exit_ends_the_chat(server: FakeServer) -> None:
    assert chat(server.url, "/exit\nhi\n").returncode == 0
    assert server.requests == []


def test_unknown_commands_are_not_sent(server: FakeServer) -> None:
    done = chat(server.url, "/dance\n")
    assert "no command /dance" in done.stderr
    assert server.requests == []


def test_an_error_is_shown_and_the_question_forgotten(server: FakeServer) -> None:
    server.error = "the prompt is too long"
    done = chat(server.url, "one\ntwo\n")
    assert done.stderr.count("the prompt is too long") == 2
    assert done.returncode == 1
    assert len(server.requests[1]["messages"]) == 1


def test_a_missing_key_is_explained() -> None:
    with fake_server(api_key="secret") as server:
        refused = chat(server.url, "hi\n")
        welcome = chat(server.url, "hi\n", "--api-key", "secret")
    assert refused.returncode == 1
    assert "--api-key" in refused.stderr
    assert welcome.stdout == "You said: hi \n"


def test_no_server_is_one_line() -> None:
    done = chat("http://127.0.0.1:9", "hi\n")
    assert done.returncode == 1
    assert "no server at http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_server_options_do_not_go_with_a_url(server: FakeServer) -> None:
    assert "unknown argument --dtype" in chat(server.url, "", "--dtype", "float32").stderr


def test_server_options_are_checked_before_anything_starts() -> None:
    command = [sys.executable, "-m", "sglang", "chat", "--dtype", "int3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--dtype: 'int3' is unknown" in done.stderr


def test_ctrl_c_stops_the_answer_only() -> None:
    with fake_server(endless=True) as server:
        controller, terminal = pty.openpty()
        command = [sys.executable, "-m", "sglang", "chat", "--url", server.url]
        environment = {**os.environ, "XDG_STATE_HOME": "/dev/null/none"}
        # A shell's background job ignores the signal, and so would its children.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment
        )
        signal.signal(signal.SIGINT, before)
        os.close(terminal)
        read_until(controller, "you> ")
        os.write(controller, b"hi\n")
        read_until(controller, "more more")
        process.send_signal(signal.SIGINT)
        read_until(controller, "you> ")
        assert server.disconnected.wait(10)
        os.write(controller, b"/exit\n")
        assert process.wait(20) == 0
        os.close(controller)


def test_an_interrupted_answer_stays_in_the_history(server: FakeServer) -> None:
    conversation = connect(server.url, None)
    answer = conversation.ask("hello")
    assert next(answer) == "You "
    answer.close()
    assert conversation.history == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "You "},
    ]


def test_a_url_may_end_in_v1(server: FakeServer) -> None:
    assert connect(server.url + "/v1/", None).model == "fake"


def test_a_url_that_is_none() -> None:
    with pytest.raises(ChatError, match="no server at nonsense"):
        connect("nonsense", None)


def read_until(descriptor: int, text: str) -> None:
    seen = ""
    while text not in seen:
        seen += os.read(descriptor, 1000).decode()
