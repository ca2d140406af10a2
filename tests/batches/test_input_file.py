"""Checking the lines of input files."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_helpers import ENDPOINT, line, lines

from sglang.srt.batches import input_file
from sglang.srt.batches.input_file import LineFault, parse_line, scan
from sglang.srt.batches.records import LineError


def errors_of(data: bytes, model: str | None = None) -> list[LineError]:
    return scan(io.BytesIO(data), ENDPOINT, model)[1]


def test_the_index_leads_to_the_lines() -> None:
    data = line("a").encode() + b"\r\n\n  \n" + line("b").encode()
    index, errors = scan(io.BytesIO(data), ENDPOINT, None)
    assert errors == []
    found = [
        (number, parse_line(data[start : start + size], ENDPOINT).custom_id)
        for number, start, size in index
    ]
    assert found == [(1, "a"), (4, "b")]


def test_the_body_is_kept_as_it_stands() -> None:
    body = b'{"seed": 1.0,  "messages" :[]}'
    data = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":' + body + b"}"
    assert parse_line(data, ENDPOINT).body == body


@pytest.mark.parametrize("url", ["/v1/chat/completions", "/chat/completions"])
def test_both_forms_of_the_url(url: str) -> None:
    assert parse_line(line("a", url=url).encode(), ENDPOINT).custom_id == "a"


def test_a_byte_order_mark_is_no_error() -> None:
    assert errors_of(b"\xef\xbb\xbf" + lines(2)) == []


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("{", "invalid_json_line", None),
        ('{"custom_id":' + "[" * 9999, "invalid_json_line", None),
        ('{"custom_id":"\\ud800"}', "invalid_json_line", None),
        ("[]", "invalid_line", None),
        (line("a", extra=1), "invalid_line", None),
        (line(None), "invalid_custom_id", "custom_id"),
        (line(""), "invalid_custom_id", "custom_id"),
        (line(7), "invalid_custom_id", "custom_id"),
        (line("x" * 513), "invalid_custom_id", "custom_id"),
        (line("a", method=None), "invalid_method", "method"),
        (line("a", method="GET"), "invalid_method", "method"),
        (line("a", url=None), "invalid_url", "url"),
        (line("a", url="/v1/completions"), "invalid_url", "url"),
        (line("a", url=["/v1/chat/completions"]), "invalid_url", "url"),
        (line("a", body=None), "invalid_body", "body"),
        (line("a", body="text"), "invalid_body", "body"),
        (line("a", body={"stream": True}), "invalid_body", "body.stream"),
        (line("a", body={"model": "other"}), "model_not_found", "body.model"),
    ],
)
def test_what_is_wrong_with_a_line_is_told(text: str, code: str, param: str | None) -> None:
    (error,) = errors_of(f"{line('first')}\n{text}\n".encode(), model="m")
    assert (error.code, error.param, error.line) == (code, param, 2)
    assert error.message


def test_bytes_that_are_not_utf8_are_an_error() -> None:
    (error,) = errors_of(line("ab").encode().replace(b"ab", b"\xff\xfe"))
    assert error.code == "invalid_json_line"


def test_any_model_will_do_unless_one_is_demanded() -> None:
    assert errors_of(lines(1)) == []
    assert errors_of(lines(1), model="m") == []


def test_an_id_that_comes_twice_names_its_first_line() -> None:
    data = "\n".join(line(name) for name in ["a", "b", "a", "a"]).encode()
    assert [(e.code, e.line) for e in errors_of(data)] == [
        ("duplicate_custom_id", 3),
        ("duplicate_custom_id", 4),
    ]
    assert "line 1" in errors_of(data)[0].message


@pytest.mark.parametrize("data", [b"", b"\n \n"])
def test_an_empty_file_is_an_error(data: bytes) -> None:
    assert [error.code for error in errors_of(data)] == ["empty_file"]


def test_too_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_file, "MAX_LINES", 3)
    assert errors_of(lines(3)) == []
    assert [(e.code, e.line) for e in errors_of(lines(9))] == [("too_many_requests", 4)]


def test_a_line_that_is_too_long_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_file, "MAX_LINE_BYTES", 200)
    data = lines(1) + b"x" * 1000 + b"\n" + lines(1)
    assert [(e.code, e.line) for e in errors_of(data)] == [("line_too_long", 2)]


def test_not_every_error_of_a_wrong_file_is_listed() -> None:
    assert len(errors_of(b"x\n" * 1000)) == input_file.MAX_ERRORS


@given(st.binary(max_size=80))
def test_any_bytes_are_a_request_or_a_fault(data: bytes) -> None:
    try:
        parse_line(data, ENDPOINT)
    except LineFault as fault:
        assert fault.code and fault.message


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional={
    "custom_id": _JSON, "method": st.just("POST") | _JSON, "url": st.just(ENDPOINT) | _JSON,
    "body": _JSON,
}))  # fmt: skip
def test_any_fields_are_a_request_or_a_fault(fields: dict[str, Any]) -> None:
    try:
        request = parse_line(json.dumps(fields).encode(), ENDPOINT)
    except LineFault as fault:
        assert fault.code and fault.message
    else:
        assert request.custom_id == fields["custom_id"]
        assert json.loads(request.body) == fields["body"]
