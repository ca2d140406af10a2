"""The wire between the processes: whole messages, in order, without blocking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sglang.srt.managers.wire import Wire, WireClosed, make_pair


def wires() -> tuple[Wire, Wire]:
    one, other = make_pair()
    return Wire(one), Wire(other)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_messages_arrive_whole_and_in_order(messages: list[bytes]) -> None:
    left, right = wires()
    for message in messages:
        left.send(message)
    assert right.receive() == messages


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.data())
def test_any_splitting_of_the_bytes_gives_the_same_messages(
    messages: list[bytes], data: st.DataObject
) -> None:
    sender, receiver = make_pair()
    right = Wire(receiver)
    stream = b"".join(len(m).to_bytes(4, "little") + m for m in messages)
    received: list[bytes] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        sender.sendall(stream[:cut])
        stream = stream[cut:]
        received += right.receive()
    assert received == messages


def test_nothing_to_read_is_no_message() -> None:
    _left, right = wires()
    assert right.receive() == []


def test_a_reader_that_does_not_read_does_not_block_the_sender() -> None:
    left, right = wires()
    messages = [bytes([i]) * 1_000_000 for i in range(8)]
    for message in messages:
        left.send(message)
    assert left.has_unsent
    received: list[bytes] = []
    while len(received) < len(messages):
        received += right.receive()
        left.flush()
    assert received == messages
    assert not left.has_unsent


def test_what_was_sent_before_the_end_is_read_before_the_end() -> None:
    left, right = wires()
    left.send(b"last words")
    left.close()
    assert right.receive() == [b"last words"]
    with pytest.raises(WireClosed):
        right.receive()


def test_sending_to_nobody_is_an_error() -> None:
    left, right = wires()
    right.close()
    with pytest.raises(WireClosed):
        left.send(b"hello")
