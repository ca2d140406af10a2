"""The comparison of servers: recipes, workloads, ratios, and one real run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compare
import pytest
from compare_table import COLUMNS, best_ratio, read_records, tables
from peer_process import family, memory_of, running
from peers import BUILT_IN, Peer, facts_for, fill, parse_peer, read_peers
from workloads import WORKLOADS, Draw, Target, figures, id_pool, is_person

from sglang.bench.answers import Answer
from sglang.bench.backends import BACKENDS, RequestSettings
from sglang.bench.client import Client, open_session
from sglang.bench.prompts import Prompt
from sglang.bench.tokenizers import open_tokenizer
from tests.entrypoints.fake_runtime import RunningServer, serve

FACTS = {"program": "prog", "model": "/m/x", "name": "x", "models": "/m", "port": "1"}


# ---- recipes


def test_facts_are_filled_in_and_other_braces_stay() -> None:
    assert fill('{program} {port} {"a": {}} {other}', FACTS) == 'prog 1 {"a": {}} {other}'


def test_a_recipe_with_its_facts(tmp_path: Path) -> None:
    facts = facts_for(tmp_path / "llama", 8123)
    ours = BUILT_IN["sglang"].with_facts(facts)
    assert f"--model-path {tmp_path}/llama --served-model-name llama" in ours.command
    assert "--port 8123" in ours.command
    assert (ours.model_name, ours.is_ours) == ("llama", True)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    facts = facts_for(tmp_path / "llama", 1)
    assert Peer("x", program="/no/such/program").missing(facts) == (
        "there is no program /no/such/program"
    )
    peer = Peer("x", program="sh", files=("{models}/{name}.gguf",))
    assert peer.missing(facts) == f"there is no file {tmp_path}/llama.gguf"
    (tmp_path / "llama.gguf").touch()
    assert peer.missing(facts) == ""


def test_a_file_of_recipes_changes_built_in_ones(tmp_path: Path) -> None:
    path = tmp_path / "peers.yaml"
    path.write_text(
        "vllm: {program: /opt/vllm, env: {A: 1}}\n"
        "ours-int8: {command: 'run {port}', api: sglang-oai, weights: int8, is_ours: true}\n"
    )
    peers = read_peers(path)
    assert peers["vllm"].program == "/opt/vllm"
    assert peers["vllm"].command == BUILT_IN["vllm"].command
    assert peers["vllm"].env == {"A": "1"}
    assert (peers["ours-int8"].weights, peers["ours-int8"].is_ours) == ("int8", True)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x: {comand: a}", "x: expected some of the fields"),
        ("x: {api: vllm}", "command"),
        ("x: {command: a, api: nonsense}", "api 'nonsense'"),
        ("x: {command: a, weights: fp3}", "weights 'fp3'"),
        ("- a", "expected a mapping"),
        ("a: [", "peers.yaml"),
    ],
)
def test_bad_files_of_recipes(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "peers.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=part):
        read_peers(path)


def test_peers_on_the_command_line() -> None:
    name, peer = parse_peer("openvino:openai=python front.py --x=1 --port {port}")
    assert (name, peer.api, peer.command) == (
        "openvino",
        "openai",
        "python front.py --x=1 --port {port}",
    )
    with pytest.raises(ValueError, match="NAME=COMMAND"):
        parse_peer("just a command")


# ---- workloads


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serve(config={"context_length": 4096}) as running:
        yield running


def run(server: RunningServer, folder: Path, name: str, scale: float, **more: Any) -> Any:
    async def measure() -> Any:
        tokenizer = open_tokenizer(str(folder))
        async with open_session() as session:
            target = Target(
                completion=Client(session, server.url, BACKENDS["sglang-oai"]),
                chat=Client(session, server.url, BACKENDS["openai-chat"]),
                settings=RequestSettings(model="fake"),
                tokenizer=tokenizer,
                **more,
            )
            pool = id_pool(tokenizer, as_text=target.as_text)
            return await WORKLOADS[name].run(target, Draw(pool, "seed", scale))

    return asyncio.run(measure())


@pytest.mark.parametrize(
    ("name", "requests", "in_tokens", "out_tokens"),
    [
        ("W1", 1, 32, 16),
        ("W2", 1, 256, 1),
        ("W3", 8, 8 * 128, 8 * 64),
        ("W4", 8, 8 * 1056, 8 * 16),
        # Each turn sends what was said before: 128, 288, 448 and 608 tokens.
        ("W5", 4, 128 + 288 + 448 + 608, 4 * 32),
    ],
)
def test_sizes_of_workloads(
    server: RunningServer,
    byte_checkpoint: Path,
    name: str,
    requests: int,
    in_tokens: int,
    out_tokens: int,
) -> None:
    found = run(server, byte_checkpoint, name, scale=0.125)
    assert (found["requests"], found["errors"]) == (requests, 0)
    assert (found["in_tokens"], found["out_tokens"]) == (in_tokens, out_tokens)


@dataclass
class StubClient:
    """Gives every prompt the same answer."""

    answer: Answer

    async def send(self, prompt: Prompt, settings: RequestSettings) -> Answer:
        return self.answer


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("W1", 4.0),  # four tokens in the second after the first
        ("W2", 80.0),  # forty tokens in half a second
    ],
)
async def test_figures_of_single_requests(checkpoint: Path, name: str, figure: float) -> None:
    answer = Answer(start=1.0, end=2.5, chunks=[(1.5, 1), (2.5, 4)], prompt_tokens=40)
    client: Any = StubClient(answer)
    tokenizer = open_tokenizer(str(checkpoint))
    target = Target(client, client, RequestSettings(), tokenizer)
    found = await WORKLOADS[name].run(target, Draw(range(10), "seed"))
    assert found[WORKLOADS[name].figure] == pytest.approx(figure)


async def test_an_answer_that_comes_at_once_has_no_decode_figure(checkpoint: Path) -> None:
    client: Any = StubClient(Answer(start=1.0, end=2.0, chunks=[(2.0, 1), (2.0, 1)]))
    target = Target(client, client, RequestSettings(), open_tokenizer(str(checkpoint)))
    assert "decode_tps" not in await WORKLOADS["W1"].run(target, Draw(range(10), "seed"))


def test_the_shared_prefix_is_shared(server: RunningServer, byte_checkpoint: Path) -> None:
    before = len(server.engine.requests)
    run(server, byte_checkpoint, "W4", scale=0.0625)
    prompts = [tuple(message.prompt()) for message in server.engine.requests[before:]]
    assert len({prompt[:1024] for prompt in prompts}) == 1
    assert len(set(prompts)) == len(prompts) == 4


def test_later_turns_begin_with_earlier_ones(server: RunningServer, byte_checkpoint: Path) -> None:
    before = len(server.engine.requests)
    run(server, byte_checkpoint, "W5", scale=0.125)
    first, second = (m.prompt().tolist() for m in server.engine.requests[before : before + 2])
    assert second[:128] == first
    assert second[128:160] == first[:32]  # the fake model repeats its prompt


def test_errors_are_counted(byte_checkpoint: Path) -> None:
    with serve(config={"context_length": 64}) as small:
        found = run(small, byte_checkpoint, "W2", scale=0.125)
    assert found["errors"] == found["requests"] == 1
    assert "context" in found["first_error"]


def test_text_prompts_survive_the_tokenizer(checkpoint: Path) -> None:
    tokenizer = open_tokenizer(str(checkpoint))
    ids = Draw(id_pool(tokenizer, as_text=True), "seed").ids(100)
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


def test_every_server_gets_the_same_prompts() -> None:
    pool = range(300, 400)
    assert Draw(pool, "1-0-W1-0").ids(20) == Draw(pool, "1-0-W1-0").ids(20)
    assert Draw(pool, "1-0-W1-0").ids(20) != Draw(pool, "1-0-W1-1").ids(20)


def test_figures_of_answers() -> None:
    good = Answer(start=1.0, end=3.0, chunks=[(2.0, 1), (3.0, 3)], prompt_tokens=6)
    found = figures([good, Answer(start=1.0, end=2.0, error="no")], start=1.0)
    assert (found["total_s"], found["out_tps"], found["total_tps"]) == (2.0, 2.0, 5.0)
    assert (found["errors"], found["first_error"]) == (1, "no")
    assert found["ttft_p50_ms"] == 1000
    assert found["tpot_ms"] == pytest.approx(1000 / 3)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"name": "Ann", "age": 30, "city": "Paris"}', True),
        ('{"name": "Ann", "age": 30}', False),
        ('{"name": "Ann", "age": 151, "city": "Paris"}', False),
        ('{"name": "Ann", "age": true, "city": "Paris"}', False),
        ('{"name": "Ann", "age": 30, "city": "Rome"}', False),
        ('{"name": "Ann", "age": 30, "city": "Paris", "x": 1}', False),
        ('{"name": "' + "n" * 21 + '", "age": 30, "city": "Paris"}', False),
        ('["name", "age", "city"]', False),
        ('{"name": "Ann"', False),
    ],
)
def test_answers_that_fit_the_schema(text: str, valid: bool) -> None:
    assert is_person(text) is valid


# ---- tables


def record(server: str, number: int, workload: str = "W1", **figures: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "server": server,
        "is_ours": server.startswith("ours"),
        "weights": "int8" if server.endswith("8") else "bf16",
        "round": number,
        "workload": workload,
        "errors": 0,
        **figures,
    }


RECORDS = [
    record("ours", 0, decode_tps=30.0),
    record("ours", 0, decode_tps=20.0),
    record("ours", 0, decode_tps=10.0),
    record("a", 0, decode_tps=10.0),
    record("b", 0, decode_tps=1.0),
    record("fast8", 0, decode_tps=99.0),
    record("ours", 1, decode_tps=60.0),
    record("a", 1, decode_tps=20.0),
    record("b", 1, decode_tps=900.0, errors=1),
    record("ours", 0, "W4", total_s=2.0),
    record("a", 0, "W4", total_s=5.0),
    record("b", 0, "W4", total_s=4.0),
]
W1, W4 = COLUMNS[0], COLUMNS[3]


def test_ratios_compare_medians_within_a_round() -> None:
    assert best_ratio(RECORDS, W1, "ours", ["a", "b"]) == ("a", [2.0, 3.0])


def test_less_time_is_a_larger_ratio() -> None:
    assert best_ratio(RECORDS, W4, "ours", ["a", "b"]) == ("b", [2.0])


def test_no_ratio_without_a_peer() -> None:
    assert best_ratio(RECORDS, W1, "ours", []) is None
    assert best_ratio(RECORDS, W4, "ours", ["fast8"]) is None


def test_tables_show_medians_and_ratios_of_like_weights() -> None:
    text = tables(RECORDS)
    assert "| ours | 25.0 | 2.00 |" in text
    assert "| fast8 | 99.0 | - |" in text
    assert "| ours | W1 decode (tok/s) | a | 2.50 | 2.00-3.00 | 2 |" in text
    assert "| ours | W4 shared prefix (s) | b | 2.00 | - | 1 |" in text


# ---- processes, and everything together


def test_memory_of_children_counts() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in family(os.getpid())
        assert memory_of(child.pid) > 0
    finally:
        child.communicate(b"\n")
    assert child.pid not in family(os.getpid())


@pytest.mark.parametrize(
    ("command", "timeout", "part"),
    [("exit 3", 20.0, "ended with status 3"), ("sleep 60", 0.2, "not ready after 0 s")],
)
def test_servers_that_do_not_start(tmp_path: Path, command: str, timeout: float, part: str) -> None:
    with (
        pytest.raises(RuntimeError, match=part),
        running(command, {}, "http://127.0.0.1:9/health", tmp_path / "log", timeout),
    ):
        pass


def test_two_servers_are_compared(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch = (
        "{python} -m sglang.launch_server --model-path {model} --served-model-name {name} "
        "--port {port} --attention-backend torch_native --log-level error"
    )
    recipes = tmp_path / "peers.yaml"
    recipes.write_text(f"sglang: {{command: '{launch}'}}\n")
    out = tmp_path / "out.jsonl"
    argv = ["--model", str(checkpoint), "--peers", str(recipes), "--scale", "0.05", "--rounds", "1",
            "--peer", f"other:sglang-oai={launch}", "--only", "sglang,llama.cpp,other",
            "--workloads", "W2,W6", "--repeats", "1", "--out", str(out),
            "--logs", str(tmp_path)]  # fmt: skip
    assert compare.main(argv) == 0
    printed = capsys.readouterr().out
    assert "llama.cpp on tiny: left out, there is no" in printed
    assert "| sglang | W2 prefill (tok/s) | other |" in printed
    records = read_records(out)
    assert [r["workload"] for r in records if r["server"] == "other"] == ["W2"] * 3 + [
        "W6",
        "server",
    ]
    server = records[-1]
    assert server["start_s"] > 0
    assert server["peak_memory_mb"] > 100  # the engine process is counted
    assert compare.main(["--tables", str(out)]) == 0
    assert "### tiny" in capsys.readouterr().out


def test_figures_are_drawn(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("\n".join(json.dumps(each) for each in RECORDS))
    picture = tmp_path / "picture.svg"
    assert compare.main(["--tables", str(results), "--plot", str(picture)]) == 0
    assert picture.read_text().count("<svg") == 1
