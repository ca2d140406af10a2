"""``/metrics``: what a server counts while it answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fake_runtime import RunningServer, say, serve
from prometheus_client.parser import text_string_to_metric_families

from sglang.srt.managers.io_struct import FinishReason

Samples = dict[str, float]


def read(server: RunningServer) -> Samples:
    """The page, with the model's name left out of the keys: ``name{label="value",...}``."""
    page = httpx.get(f"{server.url}/metrics")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: Samples = {}
    for family in text_string_to_metric_families(page.text):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k != "model_name"}
            text = ",".join(f'{name}="{labels[name]}"' for name in sorted(labels))
            name = sample.name.removeprefix("sglang:")
            found[f"{name}{{{text}}}" if text else name] = sample.value
    return found


def finished(samples: Samples) -> dict[str, float]:
    """Ended requests by reason, those that there were."""
    start = 'num_requests_total{finish_reason="'
    ends = {k.removeprefix(start)[:-2]: v for k, v in samples.items() if k.startswith(start)}
    return {reason: count for reason, count in ends.items() if count}


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serve(say("abcd"), enable_metrics=True) as running:
        yield running


def generate(server: RunningServer, **body: object) -> httpx.Response:
    return httpx.post(f"{server.url}/generate", json={"text": "hi!", **body})


def test_tokens_of_prompts_cache_and_answers(server: RunningServer) -> None:
    generate(server)
    generate(server)
    samples = read(server)
    assert samples["prompt_tokens_total"] == 2 * 3
    assert samples["cached_tokens_total"] == 2 * 2
    assert samples["generation_tokens_total"] == 2 * 5  # the last one is the end of the text


def test_each_request_is_in_each_histogram_once(server: RunningServer) -> None:
    generate(server)
    samples = read(server)
    for name in ("time_to_first_token", "e2e_request_latency", "time_per_output_token"):
        assert samples[f"{name}_seconds_count"] == 1
    assert samples["queue_time_seconds_count"] == 1
    assert samples['func_latency_seconds_count{name="generate_request"}'] == 1
    assert samples['func_latency_seconds_count{name="tokenize"}'] == 1


def test_times_between_tokens_are_one_fewer_than_tokens(server: RunningServer) -> None:
    generate(server)
    assert read(server)["inter_token_latency_seconds_count"] == 4


def test_times_add_up(server: RunningServer) -> None:
    server.engine.step_seconds = 0.02
    generate(server)
    samples = read(server)
    between = samples["inter_token_latency_seconds_sum"]
    assert between >= 4 * 0.02
    assert samples["time_per_output_token_seconds_sum"] == pytest.approx(between / 4)
    first = samples["time_to_first_token_seconds_sum"]
    assert first + between <= samples["e2e_request_latency_seconds_sum"]
    assert samples["queue_time_seconds_sum"] <= first


def test_every_sequence_counts(server: RunningServer) -> None:
    generate(server, text=["a", "b"], sampling_params={"n": 2})
    samples = read(server)
    assert samples["e2e_request_latency_seconds_count"] == 4
    assert samples['func_latency_seconds_count{name="generate_request"}'] == 1


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_openai_requests_count(server: RunningServer, path: str, stream: bool) -> None:
    prompt: dict[str, Any] = {"prompt": "hi"}
    if path.endswith("chat/completions"):
        prompt = {"messages": [{"role": "user", "content": "hi"}]}
    assert httpx.post(server.url + path, json={**prompt, "stream": stream}).status_code == 200
    assert finished(read(server)) == {"stop": 1}


def test_how_requests_ended(server: RunningServer) -> None:
    server.engine.failures["bad"] = FinishReason("abort", None, "no memory", 500)
    generate(server)
    generate(server, sampling_params={"max_new_tokens": 2})
    generate(server, text="bad")
    assert finished(read(server)) == {"stop": 1, "length": 1, "error": 1}


def test_a_client_that_leaves_is_an_abort(server: RunningServer) -> None:
    server.engine.paused = True
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/generate", json={"text": "hi"}, timeout=0.2)
    server.assert_idle()
    assert finished(read(server)) == {"abort": 1}


def test_a_request_that_takes_too_long_is_a_timeout(server: RunningServer) -> None:
    server.engine.paused = True
    assert generate(server, timeout=0.01).status_code == 504
    assert finished(read(server)) == {"timeout": 1}


def test_requests_may_ask_not_to_be_counted(server: RunningServer) -> None:
    generate(server, log_metrics=False)
    assert httpx.get(f"{server.url}/health_generate").status_code == 200
    samples = read(server)
    assert finished(samples) == {}
    assert samples["generation_tokens_total"] == 0
    assert samples["queue_time_seconds_count"] == 0


def test_gauges_come_from_the_engine(server: RunningServer) -> None:
    server.engine.paused = True
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(generate, server)
        server.wait_until(lambda: len(server.engine.running) == 1)
        assert read(server)["num_running_reqs"] == 1
        server.on_loop(server.engine.resume)
        waiting.result()
    assert read(server)["num_running_reqs"] == 0


def test_http_requests_by_route_and_status(server: RunningServer) -> None:
    httpx.get(f"{server.url}/v1/models/fake")
    httpx.get(f"{server.url}/v1/models/other/one")
    generate(server, text=1)
    samples = read(server)
    route = 'route="/v1/models/{model:path}"'
    assert samples[f'http_requests_total{{method="GET",{route},status="200"}}'] == 1
    assert samples[f'http_requests_total{{method="GET",{route},status="404"}}'] == 1
    assert samples['http_requests_total{method="POST",route="/generate",status="400"}'] == 1
    assert samples['http_request_duration_seconds_count{method="POST",route="/generate"}'] == 1


def test_made_up_paths_share_one_label(server: RunningServer) -> None:
    for path in ("/a", "/b"):
        httpx.get(server.url + path)
    assert read(server)['http_requests_total{method="GET",route="other",status="404"}'] == 2


def test_refused_requests_count() -> None:
    with serve(enable_metrics=True, api_key="key") as server:
        httpx.get(f"{server.url}/generate")
        page = httpx.get(f"{server.url}/metrics", headers={"Authorization": "Bearer key"}).text
    assert 'sglang:http_requests_total{method="GET",route="other",status="401"} 1.0' in page


def test_the_page_itself_is_being_answered(server: RunningServer) -> None:
    assert read(server)["http_requests_active"] == 1


def test_a_busy_engine_does_not_hold_the_page_up(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sglang.srt.entrypoints.metrics_page.ENGINE_SECONDS", 0.01)
    server.engine.step_seconds = 0.3
    for _ in range(3):
        assert read(server)["num_running_reqs"] == 0
    server.engine.step_seconds = 0.0
    server.wait_until(lambda: not server.state.manager._controls)


def test_a_dead_engine_does_not_take_the_page_along(server: RunningServer) -> None:
    generate(server)
    server.on_loop(server.engine.die, "killed")
    server.wait_until(lambda: server.state.manager.dead_reason is not None)
    assert finished(read(server)) == {"stop": 1}


def test_without_the_option_there_is_no_page() -> None:
    with serve() as server:
        answer = httpx.get(f"{server.url}/metrics")
    assert answer.status_code == 404
    assert "--enable-metrics" in answer.json()["error"]["message"]
