"""Responses in the background: started, looked at, cancelled, deleted."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from fake_runtime import RunningServer, say, serve

TEXT = "Hello, wörld"


def responses_of(server: RunningServer) -> Any:
    http = openai.DefaultHttpxClient(trust_env=False)
    url = f"{server.url}/v1"
    return openai.Client(base_url=url, api_key="x", max_retries=0, http_client=http).responses


def start(server: RunningServer, **body: Any) -> Any:
    return responses_of(server).create(model="m", input="Say it.", background=True, **body)


def ended(server: RunningServer, id: str) -> Any:
    deadline = time.monotonic() + 20
    while (response := responses_of(server).retrieve(id)).status in ("queued", "in_progress"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return response


def test_the_answer_comes_by_itself() -> None:
    with serve(say(TEXT)) as server:
        started = start(server)
        assert (started.status, started.background, started.output) == ("queued", True, [])
        response = ended(server, started.id)
        assert (response.status, response.output_text) == ("completed", TEXT)
        assert response.usage.output_tokens > 0


def test_it_is_in_progress_once_a_step_has_taken_it_up() -> None:
    with serve(say(TEXT * 100), step_seconds=0.02) as server:
        started = start(server)
        server.wait_until(lambda: server.engine.requests and server.state.manager.num_queued == 0)
        assert responses_of(server).retrieve(started.id).status == "in_progress"
        responses_of(server).cancel(started.id)


def test_a_wrong_request_is_refused_at_once() -> None:
    with serve(say(TEXT)) as server:
        with pytest.raises(openai.BadRequestError, match="temperature"):
            start(server, temperature=-1)
        with pytest.raises(openai.BadRequestError, match="needs store"):
            start(server, store=False)
        with pytest.raises(openai.BadRequestError, match="together with stream"):
            start(server, stream=True)


def test_cancelling_stops_it_and_keeps_what_there_is() -> None:
    with serve(say(TEXT * 100), step_seconds=0.01) as server:
        started = start(server)
        server.wait_until(lambda: any(r.position > 3 for r in server.engine.running.values()))
        cancelled = responses_of(server).cancel(started.id)
        assert cancelled.status == "cancelled"
        assert cancelled.output_text.startswith(TEXT[:2])
        server.assert_idle()
        again = responses_of(server).cancel(started.id)
        assert again.status == responses_of(server).retrieve(started.id).status == "cancelled"


def test_a_complete_response_stays_complete() -> None:
    with serve(say(TEXT)) as server:
        started = start(server)
        ended(server, started.id)
        assert responses_of(server).cancel(started.id).status == "completed"


def test_only_those_in_the_background_can_be_cancelled() -> None:
    with serve(say(TEXT)) as server:
        response = responses_of(server).create(model="m", input="a")
        with pytest.raises(openai.BadRequestError, match="background"):
            responses_of(server).cancel(response.id)
        with pytest.raises(openai.NotFoundError):
            responses_of(server).cancel("resp_x")


def test_deleting_stops_it() -> None:
    with serve(say(TEXT * 100), step_seconds=0.01) as server:
        started = start(server)
        responses_of(server).delete(started.id)
        server.assert_idle()
        with pytest.raises(openai.NotFoundError):
            responses_of(server).retrieve(started.id)


def test_one_that_fails_says_so() -> None:
    with serve(say(TEXT * 100), step_seconds=0.01) as server:
        started = start(server)
        server.wait_until(lambda: bool(server.engine.running))
        server.engine.die("killed")
        response = ended(server, started.id)
        assert response.status == "failed"
        assert "killed" in response.error.message


def test_one_that_is_aborted_has_failed() -> None:
    with serve(say(TEXT * 100), step_seconds=0.01) as server:
        started = start(server)
        assert server.on_loop(server.state.manager.abort, started.id)
        assert ended(server, started.id).status == "failed"


def test_a_conversation_goes_on_from_a_complete_one_only() -> None:
    with serve(say(TEXT * 100), step_seconds=0.01) as server:
        started = start(server)
        with pytest.raises(openai.BadRequestError, match="nothing can go on from it"):
            responses_of(server).create(model="m", input="a", previous_response_id=started.id)
        responses_of(server).cancel(started.id)


def test_the_tokens_of_an_input_can_be_counted() -> None:
    with serve(say(TEXT)) as server:
        counted = responses_of(server).input_tokens.count(model="m", input="Say it.")
        response = responses_of(server).create(model="m", input="Say it.")
        assert counted.input_tokens == response.usage.input_tokens
