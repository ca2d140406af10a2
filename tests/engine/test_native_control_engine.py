"""Weights, sessions and profiles through the offline engine and its process."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sglang.srt.entrypoints.engine import Engine
from sglang.srt.managers.errors import RequestError
from tests.models.model_helpers import make_tiny_checkpoint

PROMPT = list(range(20, 60))
GREEDY = {"temperature": 0.0, "max_new_tokens": 8, "ignore_eos": True}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [make_tiny_checkpoint(folder / str(seed), seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def llm(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGLANG_TORCH_PROFILER_DIR", str(tmp_path_factory.mktemp("traces")))
        patch.setenv("OMP_NUM_THREADS", "1")
        options: dict[str, Any] = {"dtype": "float32", "device": "cpu", "max_total_tokens": 1024}
        with Engine(model_path=str(models[0]), skip_tokenizer_init=True, **options) as engine:
            yield engine


def ask(llm: Engine, ids: list[int] = PROMPT, **fields: Any) -> dict[str, Any]:
    answer = llm.generate(input_ids=ids, sampling_params=GREEDY, **fields)
    assert isinstance(answer, dict)
    return answer


def cached(llm: Engine) -> int:
    count: int = llm.get_server_info()["internal_states"][0]["num_cached_tokens"]
    return count


def test_weights_change_and_change_back(llm: Engine, models: list[Path]) -> None:
    first = ask(llm)["token_ids"]
    success, message = llm.update_weights_from_disk(str(models[1]))
    assert (success, message) == (True, "Succeeded to update model weights.")
    assert llm.get_server_info()["model_path"] == str(models[1])
    assert ask(llm)["meta_info"]["cached_tokens"] == 0
    assert ask(llm)["token_ids"] != first
    assert llm.update_weights_from_disk(str(models[0])).success
    assert ask(llm)["token_ids"] == first


def test_a_failure_leaves_everything_as_it_was(
    llm: Engine, models: list[Path], tmp_path: Path
) -> None:
    first = ask(llm)["token_ids"]
    outcome = llm.update_weights_from_disk(str(tmp_path))
    assert not outcome.success
    assert outcome.message.startswith("Failed to get weights iterator: ")
    assert ask(llm)["token_ids"] == first
    assert llm.get_server_info()["model_path"] == str(models[0])


def test_a_session_reuses_the_cache_and_frees_it_when_it_ends(llm: Engine) -> None:
    llm.flush_cache()
    session = llm.open_session(1000)
    first = ask(llm, session_params={"id": session})
    place = {"id": session, "rid": first["meta_info"]["id"]}
    second = ask(llm, [70, 71, 72], session_params=place)
    whole = ask(llm, [*PROMPT, *first["token_ids"], 70, 71, 72], cache_salt="alone")
    assert second["token_ids"] == whole["token_ids"]
    assert second["meta_info"]["cached_tokens"] == len(PROMPT) + 7
    other = cached(llm)
    llm.close_session(session)
    assert cached(llm) == other - len(PROMPT) - 8 - 3 - 7


def test_a_profile_is_written_and_shows_the_steps(llm: Engine) -> None:
    path = Path(llm.start_profile("sub", activities=["CPU"]))
    with pytest.raises(RequestError, match="recorded already"):
        llm.start_profile()
    ask(llm)
    assert llm.stop_profile() == str(path)
    assert path.parent.name == "sub"
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    assert sum(event.get("name") == "step" for event in events) >= 8
    with pytest.raises(RequestError, match="no profile is being recorded"):
        llm.stop_profile()


def test_a_profile_ends_by_itself_after_the_steps_that_were_asked_for(llm: Engine) -> None:
    path = Path(llm.start_profile(num_steps=3))
    ask(llm)
    with pytest.raises(RequestError, match="no profile is being recorded"):
        llm.stop_profile()
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    names = [event.get("name") for event in events if event.get("cat") == "user_annotation"]
    assert names.count("step") == 3
