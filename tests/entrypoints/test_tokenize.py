"""``/tokenize`` and ``/detokenize``."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from chat_client import NOW, tool_server
from fake_runtime import CONTEXT_LENGTH, EOS, encode_text, say, serve

TEXT = "Grüße 🌍"
USER = [{"role": "user", "content": "hi"}]
PROMPT = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_there_and_back(client: httpx.Client, prefix: str) -> None:
    answer = post(client, f"{prefix}/tokenize", model="any", prompt=TEXT)
    ids = encode_text(TEXT)
    assert answer == {
        "count": len(ids),
        "max_model_len": CONTEXT_LENGTH,
        "tokens": ids,
        "token_strs": None,
    }
    assert post(client, f"{prefix}/detokenize", tokens=ids)["text"] == TEXT


def test_several_prompts(client: httpx.Client) -> None:
    answer = post(client, "/tokenize", prompt=["ab", "c"])
    assert (answer["tokens"], answer["count"]) == ([encode_text("ab"), encode_text("c")], [2, 1])
    back = post(client, "/detokenize", tokens=answer["tokens"])
    assert back == {"text": ["ab", "c"], "prompt": ["ab", "c"]}


def test_a_conversation_has_the_tokens_that_the_model_reads(client: httpx.Client) -> None:
    assert post(client, "/tokenize", messages=USER)["tokens"] == encode_text(PROMPT)
    without = post(client, "/tokenize", messages=USER, add_generation_prompt=False)
    assert without["tokens"] == encode_text(PROMPT.removesuffix("<|im_start|>assistant\n"))


def test_a_conversation_with_tools() -> None:
    with (
        tool_server(say("a"), tool_call_parser="hermes") as server,
        httpx.Client(base_url=server.url) as client,
    ):
        tools = post(client, "/tokenize", messages=USER, tools=[NOW])
        assert tools["tokens"] == encode_text("now;" + PROMPT)


def test_the_spelling_of_the_tokens(client: httpx.Client) -> None:
    assert post(client, "/tokenize", prompt="ab c", return_token_strs=True)["token_strs"] == [
        "a",
        "b",
        "Ġ",
        "c",
    ]


def test_special_tokens_are_skipped_in_the_text_and_kept_in_the_prompt(
    client: httpx.Client,
) -> None:
    tokens = [*encode_text("a"), EOS]
    assert post(client, "/detokenize", tokens=tokens) == {"text": "a", "prompt": "a<|endoftext|>"}
    kept = post(client, "/detokenize", tokens=tokens, skip_special_tokens=False)
    assert kept["text"] == "a<|endoftext|>"


def test_nothing_has_no_tokens(client: httpx.Client) -> None:
    assert post(client, "/tokenize", prompt="")["tokens"] == []
    assert post(client, "/detokenize", tokens=[]) == {"text": "", "prompt": ""}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": USER}, "prompt"),
        ("/tokenize", {"prompt": "a", "tools": []}, "tools"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"prompt": "a", "typo": 1}, "typo"),
        ("/tokenize", {"messages": [{"role": "x", "content": "a"}]}, "messages[0].role"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "a"}, "tokens"),
        ("/detokenize", {"tokens": [1, -1]}, "tokens"),
        ("/detokenize", {"tokens": [10**9]}, "tokens"),
        ("/detokenize", {"tokens": [[1], 2]}, "tokens[1]"),
        ("/detokenize", {"tokens": [1, [2]]}, "tokens[1]"),
        ("/detokenize", {"tokens": [1.5]}, "tokens[0]"),
    ],
)
def test_bad_bodies_are_refused_with_their_place(
    client: httpx.Client, path: str, body: dict[str, Any], param: str
) -> None:
    response = client.post(f"/v1{path}", json=body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"].startswith(param)


def test_without_a_tokenizer_the_routes_say_so() -> None:
    with serve(tokenizer=False, skip_tokenizer_init=True) as server:
        response = httpx.post(f"{server.url}/tokenize", json={"prompt": "a"})
    assert response.status_code == 400
    assert "--skip-tokenizer-init" in response.json()["error"]["message"]
