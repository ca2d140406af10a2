"""Who may send a custom logit processor, and that the API process never looks into it."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_runtime import FakeEngine, make_state, repeat_prompt, serve

from sglang.srt.entrypoints.app import create_app

USER, ADMIN = "user-key", "admin-key"


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_the_api_process_hands_it_over_as_it_is(tmp_path: Path) -> None:
    text = json.dumps({"callable": pickle.dumps(Bomb(tmp_path / "trace")).hex()})
    body = {
        "text": ["a", "b", "c"],
        "custom_logit_processor": [text, None, text],
        "sampling_params": {"custom_params": {"token_id": 5}},
    }
    with serve(enable_custom_logit_processor=True) as server:
        response = httpx.post(f"{server.url}/generate", json=body, trust_env=False)
        assert response.status_code == 200
        sent = server.engine.requests
    assert [each.custom_logit_processor for each in sent] == [text, None, text]
    assert all(each.sampling.custom_params == {"token_id": 5} for each in sent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("api_key", "admin_key", "given", "status"),
    [
        (None, None, None, 200),
        (USER, None, USER, 403),
        (USER, ADMIN, None, 401),
        (USER, ADMIN, USER, 403),
        (USER, ADMIN, ADMIN, 200),
        (None, ADMIN, None, 403),
        (None, ADMIN, ADMIN, 200),
    ],
)
def test_it_takes_the_admin_key(
    api_key: str | None, admin_key: str | None, given: str | None, status: int
) -> None:
    options = {"api_key": api_key, "admin_api_key": admin_key}
    headers = {"Authorization": f"Bearer {given}"} if given else {}
    with (
        serve(enable_custom_logit_processor=True, **options) as server,
        httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client,
    ):
        body = {"text": "a", "custom_logit_processor": "x"}
        response = client.post("/generate", json=body)
        assert response.status_code == status
        if status == 403:
            assert "custom_logit_processor needs" in response.text
        assert len(server.engine.requests) == (status == 200)


def test_without_keys_other_machines_are_refused() -> None:
    app = create_app(
        make_state(FakeEngine(repeat_prompt), host="0.0.0.0", enable_custom_logit_processor=True)
    )

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=("203.0.113.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            body = {"text": "a", "custom_logit_processor": "x"}
            return await client.post("/generate", json=body)

    response = asyncio.run(send())
    assert response.status_code == 403
    assert "custom_logit_processor is for this machine only" in response.text
