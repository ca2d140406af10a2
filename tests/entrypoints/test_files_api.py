"""``/v1/files``: with the ``openai`` package, and with forms that it would not send."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fake_runtime import RunningServer, serve
from hypothesis import given
from hypothesis import strategies as st

from sglang.srt.entrypoints import multipart
from sglang.srt.entrypoints.multipart import FormReader
from sglang.srt.entrypoints.openai import files
from sglang.srt.managers.errors import RequestError

HOUR = 3600


@pytest.fixture(scope="module")
def server(storage_folder: Path) -> Iterator[RunningServer]:
    with serve(file_storage_pth=storage_folder) as running:
        yield running


@pytest.fixture(scope="module")
def user(server: RunningServer) -> Iterator[openai.Client]:
    with openai.Client(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def stored(folder: Path) -> set[str]:
    """The names of the files on disk."""
    return set(os.listdir(folder / "files")) if folder.exists() else set()


def form(*parts: tuple[str, bytes], end: bool = True) -> bytes:
    """A form from headers (without their beginning) and bodies."""
    pieces = [
        b'--B\r\ncontent-disposition: form-data; name="' + header.encode() + b"\r\n\r\n" + body
        for header, body in parts
    ]
    return b"\r\n".join(pieces) + (b"\r\n--B--\r\n" if end else b"")


FILE = ('file"; filename="a.jsonl"', b"{}\n")
PURPOSE = ('purpose"', b"batch")


def post(client: httpx.Client, body: bytes, kind: str = "multipart/form-data; boundary=B") -> Any:
    return client.post("/v1/files", content=body, headers={"content-type": kind})


def test_an_uploaded_file_comes_back(user: openai.Client, storage_folder: Path) -> None:
    data = os.urandom((3 << 20) + 7)
    file = user.files.create(file=("näme.jsonl", data), purpose="batch")
    assert (file.object, file.bytes, file.filename) == ("file", len(data), "näme.jsonl")
    assert (file.purpose, file.status, file.expires_at) == ("batch", "processed", None)
    assert user.files.retrieve(file.id) == file
    assert user.files.content(file.id).read() == data
    assert stat.S_IMODE((storage_folder / "files" / file.id).stat().st_mode) == 0o600


def test_content_is_no_page_for_a_browser(user: openai.Client) -> None:
    page = b"<script>alert(1)</script>"
    file = user.files.create(file=("x.html", page), purpose="user_data")
    headers = user.files.with_raw_response.content(file.id).headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment")


def test_a_deleted_file_is_gone(user: openai.Client, storage_folder: Path) -> None:
    file = user.files.create(file=("a", b"x"), purpose="batch")
    assert user.files.delete(file.id).deleted
    for call in (user.files.retrieve, user.files.content, user.files.delete):
        with pytest.raises(openai.NotFoundError, match=file.id):
            call(file.id)
    assert file.id not in stored(storage_folder)


def test_lists_go_by_age_in_pages(storage_folder: Path) -> None:
    with (
        serve(file_storage_pth=storage_folder.with_name("another")) as server,
        openai.Client(base_url=f"{server.url}/v1", api_key="none") as user,
    ):
        ids = [user.files.create(file=("a", b"x"), purpose="batch").id for _ in range(5)]
        other = user.files.create(file=("a", b"x"), purpose="user_data").id
        assert [file.id for file in user.files.list()] == [other, *reversed(ids)]
        page = user.files.list(limit=2, order="asc", purpose="batch")
        assert [file.id for file in page.data] == ids[:2]
        assert page.has_more
        rest = user.files.list(limit=9, order="asc", purpose="batch", after=ids[1])
        assert [file.id for file in rest.data] == ids[2:]
        assert not rest.has_more
        assert user.files.list(purpose="vision").data == []
        body = httpx.get(f"{server.url}/v1/files?limit=2").json()
        assert (body["object"], body["first_id"], body["last_id"]) == ("list", other, ids[4])


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=x", "limit"),
        ("limit=%C2%B2", "limit"),
        ("order=up", "order"),
        ("after=file-x", "after"),
        ("page=2", "page"),
    ],
)
def test_bad_queries(client: httpx.Client, query: str, param: str) -> None:
    answer = client.get(f"/v1/files?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_file_may_expire(user: openai.Client) -> None:
    expiry: Any = {"anchor": "created_at", "seconds": HOUR}
    file = user.files.create(file=("a", b"x"), purpose="batch", expires_after=expiry)
    assert file.expires_at == file.created_at + HOUR
    for wrong in ({"anchor": "created_at", "seconds": 5}, {"anchor": "now", "seconds": HOUR}):
        with pytest.raises(openai.BadRequestError, match="expires_after"):
            user.files.create(file=("a", b"x"), purpose="batch", expires_after=wrong)


@pytest.mark.parametrize("name", ["../../../etc/cron.d/x", "..\\..\\x", "/etc/x", "x"])
def test_names_are_labels(client: httpx.Client, storage_folder: Path, name: str) -> None:
    answer = post(client, form((f'file"; filename="{name}"', b"x"), PURPOSE))
    assert answer.json()["filename"] == "x"
    assert answer.json()["id"] in stored(storage_folder)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/..%2F..%2Fstorage.db/content",
        "/v1/files/%2E%2E/content",
        "/v1/files/storage.db/content",
        "/v1/files/..%2Flock",
        "/v1/files/%00",
    ],
)
def test_only_files_of_the_api_can_be_read(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_purpose_may_come_last(client: httpx.Client) -> None:
    assert post(client, form(FILE, PURPOSE)).json()["bytes"] == 3
    assert post(client, form(PURPOSE, FILE)).json()["bytes"] == 3


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (form(FILE), "purpose is missing"),
        (form(FILE, ('purpose"', b"fun")), "purpose is 'fun'"),
        (form(PURPOSE), "no part named 'file'"),
        (form(PURPOSE, FILE, FILE), "two of 'file'"),
        (form(PURPOSE, PURPOSE, FILE), "two of 'purpose'"),
        (form(PURPOSE, FILE, ('colour"', b"red")), "unknown field 'colour'"),
        (form(PURPOSE, FILE, ('x"', b"y" * 5000)), "longer than 4096"),
        (form(PURPOSE, FILE, *((f'x{i}"', b"") for i in range(20))), "more than 16 parts"),
        (form(PURPOSE, (f'file"; filename="{"x" * 9999}"', b"")), "form"),
        (form(PURPOSE, FILE, end=False), "ends in the middle"),
        (form(PURPOSE, FILE).replace(b'name="file"; ', b""), "without a name"),
        (form(PURPOSE, FILE, ('expires_after[seconds]"', b"3600")), "expires_after.anchor"),
        (b"no form at all", "not a valid multipart form"),
        (b"", "ends in the middle"),
    ],
)
def test_bad_forms(client: httpx.Client, storage_folder: Path, body: bytes, reason: str) -> None:
    before = stored(storage_folder)
    answer = post(client, body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]["message"]
    assert stored(storage_folder) == before


@pytest.mark.parametrize(
    "kind",
    ["application/json", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 999],
)
def test_bad_content_types(client: httpx.Client, kind: str) -> None:
    assert post(client, b"{}", kind).status_code == 400


@pytest.mark.parametrize("declares_its_length", [True, False])
def test_a_file_that_is_too_large(
    client: httpx.Client,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    declares_its_length: bool,
) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 1 << 20)
    monkeypatch.setattr(files, "MAX_FORM_BYTES", 2 << 20)
    before = stored(storage_folder)
    body = form(PURPOSE, ('file"', b"x" * (3 << 20)))
    content = body if declares_its_length else iter([body[:1000], body[1000:]])
    headers = {"content-type": "multipart/form-data; boundary=B"}
    # The server closes the connection when it has seen enough.
    with contextlib.suppress(httpx.WriteError):
        assert client.post("/v1/files", content=content, headers=headers).status_code == 413
    assert stored(storage_folder) == before


def test_a_client_that_goes_away_leaves_nothing(
    server: RunningServer, storage_folder: Path
) -> None:
    before = stored(storage_folder)

    def half() -> Iterator[bytes]:
        yield form(PURPOSE, FILE)[:-20]
        server.wait_until(lambda: len(stored(storage_folder)) > len(before))
        raise InterruptedError

    with pytest.raises(InterruptedError), httpx.Client(base_url=server.url) as client:
        headers = {"content-type": "multipart/form-data; boundary=B"}
        client.post("/v1/files", content=half(), headers=headers)
    server.wait_until(lambda: stored(storage_folder) == before)


def test_a_client_that_stops_sending_is_dropped(
    client: httpx.Client,
    storage_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: RunningServer,
) -> None:
    monkeypatch.setattr(multipart, "IDLE_SECONDS", 0.05)
    before = stored(storage_folder)

    def slow() -> Iterator[bytes]:
        yield form(PURPOSE, FILE)[:-20]
        server.wait_until(lambda: len(stored(storage_folder)) > len(before))
        server.wait_until(lambda: stored(storage_folder) == before)

    headers = {"content-type": "multipart/form-data; boundary=B"}
    answer = client.post("/v1/files", content=slow(), headers=headers)
    assert answer.status_code == 408


@given(st.binary(max_size=40), st.lists(st.integers(1, 9), max_size=40))
def test_a_form_reads_the_same_in_any_pieces(data: bytes, sizes: list[int]) -> None:
    body = form(PURPOSE, ('file"; filename="n"', data))
    reader, found, start = FormReader("multipart/form-data; boundary=B", "file"), b"", 0
    for size in [*sizes, len(body)]:
        found += reader.push(body[start : start + size])
        start += size
    assert (found, reader.fields, reader.filename) == (data, {"purpose": "batch"}, "n")
    assert reader.is_complete


@given(st.binary(max_size=60))
def test_any_body_is_read_or_refused(data: bytes) -> None:
    reader = FormReader("multipart/form-data; boundary=B", "file")
    try:
        reader.push(b"--B\r\ncontent-disposition: form-data" + data)
    except RequestError as error:
        assert error.status == 400


def test_what_follows_the_form_is_bounded_too(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FORM_BYTES", 1 << 20)
    body = iter([form(PURPOSE, FILE), *[b"x" * 65536] * 40])
    headers = {"content-type": "multipart/form-data; boundary=B"}
    with contextlib.suppress(httpx.WriteError):
        assert client.post("/v1/files", content=body, headers=headers).status_code == 413
