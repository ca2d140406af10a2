"""Structural tags over special tokens: calls in the Harmony format of gpt-oss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from sglang.srt.constrained.backends import BackendConfig, make_backend
from sglang.srt.constrained.grammar import GrammarError, GrammarSpec
from sglang.srt.function_call.gpt_oss import TAGS
from sglang.srt.function_call.tool_grammar import tool_grammar
from sglang.srt.function_call_parser import MultiFormatParser
from sglang.srt.managers.io_struct import Function, Tool
from sglang.srt.tokenizer.loading import load_tokenizer
from tests.constrained.walking import EOS, FOLDER, backend

CALL = '<|channel|>commentary to=functions.now <|constrain|>json<|message|>{"x": 1}<|call|>'
AGAIN = "<|end|><|start|>assistant"
SCHEMA = {"type": "object", "properties": {"x": {"enum": [1, 2]}}, "required": ["x"]}

Takes = Callable[[str, bool, bool], bool]


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Takes:
    """Whether a text may be written: with a call demanded, or none but the first allowed."""
    folder = tmp_path_factory.mktemp("harmony")
    raw = Tokenizer.from_file(str(Path(FOLDER) / "tokenizer.json"))
    raw.add_special_tokens(list(TAGS))
    raw.save(str(folder / "tokenizer.json"))
    shutil.copy(Path(FOLDER) / "tokenizer_config.json", folder)
    tokenizer, size = load_tokenizer(str(folder)), raw.get_vocab_size()
    harmony = make_backend(BackendConfig("llguidance", str(folder), "auto", False, size, EOS, None))
    form = MultiFormatParser.formats["gpt-oss"].form
    assert form is not None
    tools = [Tool(Function("now", None, SCHEMA, strict=True))]

    def takes(text: str, must_call: bool, stop: bool) -> bool:
        tag = tool_grammar(tools, form, must_call=must_call, stop_after_first=stop)
        spec = GrammarSpec("structural_tag", json.dumps(tag))
        state = harmony.load(harmony.prepare(spec)).start()
        tokens = tokenizer.encode(text, add_special_tokens=False)
        is_over = (state.accept(token) for token in tokens)
        return all(is_over) and (state.is_finished or state.allows(EOS[0]))

    return takes


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("must_call", [False, True])
def test_a_call_is_as_declared(takes: Takes, must_call: bool, stop: bool) -> None:
    assert takes(CALL, must_call, stop)
    assert not takes(CALL.replace("1", "3"), must_call, stop)
    assert not takes(CALL.replace("now", "then"), must_call, stop)


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "<|channel|>final<|message|>Hi",
        f"<|channel|>analysis<|message|>Hm.{AGAIN}{CALL}",
        f"<|channel|>commentary<|message|>Wait.{AGAIN}{CALL}",
    ],
)
def test_other_messages_are_free_unless_a_call_is_demanded(
    takes: Takes, text: str, stop: bool
) -> None:
    assert takes(text, False, stop)
    assert not takes(text, True, stop)


def test_calls_stop_where_one_is_enough(takes: Takes) -> None:
    assert takes(CALL + CALL, False, False)
    assert not takes(CALL + CALL, False, True)


def test_a_schema_that_is_not_enforced_is_named() -> None:
    structures = [
        {"begin": "<a>", "schema": {"type": "object"}, "end": "</a>"},
        {"begin": "<b>", "schema": {"properties": {"x": {"not": {}}}}, "end": "</b>"},
    ]
    tag = {"type": "structural_tag", "triggers": ["<"], "structures": structures}
    with pytest.raises(GrammarError, match=r"structures\[1\].schema: .*at /properties/x/not"):
        backend().prepare(GrammarSpec("structural_tag", json.dumps(tag)))
