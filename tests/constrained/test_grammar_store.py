"""Grammars are compiled elsewhere, within limits, once; nothing bad comes of a bad one."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from sglang.srt.constrained import worker_client
from sglang.srt.constrained.grammar import GrammarError, GrammarSpec
from sglang.srt.constrained.setup import make_store
from sglang.srt.constrained.store import GrammarStore
from sglang.srt.constrained.worker_client import GrammarWorker
from tests.constrained.walking import EOS, FOLDER, VOCAB, config, walk


@pytest.fixture(scope="module")
def store() -> Iterator[GrammarStore]:
    store = GrammarStore(config(), capacity=3)
    yield store
    store.close()


def regex(text: str) -> GrammarSpec:
    return GrammarSpec("regex", text)


def test_a_grammar_comes_from_the_worker_ready_for_use(store):
    state = store.get(regex("ab|cd")).result(60).start()
    assert walk(state, 0) in ("ab", "cd")


def test_states_of_one_grammar_are_independent(store):
    grammar = store.get(regex("(ab|cd){2}")).result(60)
    outputs = {walk(grammar.start(), seed) for seed in range(20)}
    assert outputs == {"abab", "abcd", "cdab", "cdcd"}


def test_a_grammar_is_compiled_once(store):
    first = store.get(regex("once"))
    assert store.get(regex("once")) is first
    assert store.get(GrammarSpec("ebnf", "once")) is not first


def test_the_grammars_used_last_are_kept(store):
    kept = store.get(regex("kept"))
    for i in range(5):
        store.get(regex(f"other {i}"))
        assert store.get(regex("kept")) is kept


def test_grammars_used_long_ago_are_forgotten(store):
    old = store.get(regex("old"))
    for i in range(5):
        store.get(regex(f"newer {i}"))
    assert store.get(regex("old")) is not old


def test_a_bad_grammar_is_refused_and_the_next_one_served(store):
    with pytest.raises(GrammarError, match="unclosed group"):
        store.get(regex("(")).result(60)
    assert store.get(regex("good")).result(60)


def test_the_engine_is_woken_when_a_grammar_is_ready(store):
    store.drain()
    assert not select.select([store], [], [], 0)[0]
    store.get(regex("wake up"))
    assert select.select([store], [], [], 60)[0]
    store.drain()
    assert not select.select([store], [], [], 0)[0]


def test_a_grammar_that_takes_its_time_does_not_hold_up_another(store):
    slow = store.get(regex("(a{1000}){1000}"))
    assert store.get(regex("quick")).result(60)
    assert not slow.done()
    with pytest.raises(GrammarError, match="too complex"):
        slow.result(60)


def test_compiling_ends_when_its_time_is_up():
    worker = GrammarWorker(config(), compile_seconds=0.2)
    worker.start()
    begin = time.monotonic()
    with pytest.raises(GrammarError, match=r"not compiled within 0\.2 s"):
        worker.prepare(regex("(a{1000}){1000}"))
    assert time.monotonic() - begin < 30
    worker.close()


def test_a_worker_that_dies_is_replaced():
    worker = GrammarWorker(config())
    worker.start().kill()
    with pytest.raises(GrammarError, match="too complex"):
        worker.prepare(regex("a"))
    assert worker.prepare(regex("a"))
    worker.close()


def test_compiling_ends_when_its_memory_is_used_up(monkeypatch):
    hungry = "import sglang.srt.constrained.worker as w; w.MEMORY_BYTES = 1 << 20; w.main()"
    monkeypatch.setattr(worker_client, "COMMAND", ("-c", hungry))
    worker = GrammarWorker(config())
    with pytest.raises(GrammarError, match="too complex"):
        worker.prepare(regex(f"(x{{5000}}|{'y' * 200_000})"))
    worker.close()


def test_waiting_for_workers_ends_with_the_store():
    store = GrammarStore(config())
    futures = [store.get(regex(f"x{i}")) for i in range(20)]
    store.close()
    for future in futures:
        with contextlib.suppress(GrammarError, CancelledError):
            future.result(60)
    assert all(future.done() for future in futures)


SETTINGS = {
    "tokenizer_path": FOLDER,
    "tokenizer_mode": "auto",
    "trust_remote_code": False,
    "vocab_size": VOCAB,
    "eos_token_ids": EOS,
}


def test_without_a_backend_there_is_no_store():
    assert make_store("none", whitespace=None, **SETTINGS) is None


def test_white_space_must_be_a_regular_expression():
    with pytest.raises(ValueError, match="--constrained-json-whitespace-pattern"):
        make_store("auto", whitespace="(", **SETTINGS)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install 'outlines-core'"):
        make_store("outlines", whitespace=None, **SETTINGS)
    assert make_store("auto", whitespace=None, **SETTINGS) is None
