"""Text of a growing sequence: the same however it is cut, and equal to decoding it whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
import tokenizer_samples as samples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sglang.srt.tokenizer.detokenizer import IncrementalDetokenizer
from sglang.srt.tokenizer.token_streams import MAX_HELD_BYTES, MAX_HELD_TOKENS
from sglang.srt.tokenizer.token_table import DecodeKind

FAMILIES = pytest.mark.parametrize("family", samples.FAMILIES)
BROKEN = "\ufffd"
PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def stream(tokenizer, prompt, chunks, **options):
    detokenizer = IncrementalDetokenizer(tokenizer, prompt, **options)
    return "".join([*(detokenizer.push(chunk) for chunk in chunks), detokenizer.flush()])


def cut(ids, cuts):
    edges = [0, *sorted(min(c, len(ids)) for c in cuts), len(ids)]
    return [ids[a:b] for a, b in pairwise(edges)]


ids_of = st.lists(st.integers(0, 2**16), max_size=30)
cuts = st.lists(st.integers(0, 30), max_size=10)


@FAMILIES
@given(numbers=ids_of, cuts=cuts, skip=st.booleans())
@PROPERTY
def test_equals_decoding_the_output_whole(family, numbers, cuts, skip, ours):
    tokenizer = ours[family]
    ids = [n % (len(tokenizer) + 3) for n in numbers]
    text = stream(tokenizer, [], cut(ids, cuts), skip_special_tokens=skip)
    assert text == tokenizer.decode(ids, skip)


@FAMILIES
@given(numbers=ids_of, cuts=cuts)
@PROPERTY
def test_goes_on_after_a_prompt(family, numbers, cuts, ours):
    tokenizer = ours[family]
    prompt = tokenizer.encode("The capital of France is", add_special_tokens=False)
    ids = [n % len(tokenizer) for n in numbers]
    before, both = tokenizer.decode(prompt, True), tokenizer.decode(prompt + ids, True)
    assume(both.startswith(before))
    assert stream(tokenizer, prompt, cut(ids, cuts)) == both[len(before) :]


@FAMILIES
@given(text=st.text(max_size=30), cuts=cuts)
@PROPERTY
def test_text_survives_the_round_trip_without_broken_characters(family, text, cuts, ours):
    tokenizer = ours[family]
    ids = tokenizer.encode(text, add_special_tokens=False)
    assume(BROKEN not in tokenizer.decode(ids, True))
    detokenizer = IncrementalDetokenizer(tokenizer, [])
    pieces = [*(detokenizer.push(chunk) for chunk in cut(ids, cuts)), detokenizer.flush()]
    assert all(BROKEN not in piece for piece in pieces)
    assert "".join(pieces) == tokenizer.decode(ids, True)


@FAMILIES
@given(text=st.text(min_size=1, max_size=20), numbers=ids_of, cuts=cuts)
@PROPERTY
def test_cutting_never_matters(family, text, numbers, cuts, ours):
    tokenizer = ours[family]
    prompt = tokenizer.encode(text, add_special_tokens=False)[:-1]
    ids = [n % len(tokenizer) for n in numbers]
    assert stream(tokenizer, prompt, cut(ids, cuts)) == stream(tokenizer, prompt, [ids])


@pytest.mark.parametrize("family", ["byte_level", "sentencepiece", "unigram", "word_piece"])
def test_the_leading_space_is_kept_after_a_prompt(family, ours):
    tokenizer = ours[family]
    prompt = tokenizer.encode("The capital of France is", add_special_tokens=False)
    whole = tokenizer.encode("The capital of France is Paris", add_special_tokens=False)
    text = stream(tokenizer, prompt, [[i] for i in whole[len(prompt) :]])
    assert text.lower() == " paris"


def test_a_sequence_start_alone_is_no_text_before_the_answer(ours):
    tokenizer = ours["sentencepiece"]
    ids = tokenizer.encode("Paris", add_special_tokens=False)
    assert stream(tokenizer, [tokenizer.bos_token_id], [ids]) == "Paris"


def test_kinds(ours):
    kinds = {family: tokenizer.token_table.kind for family, tokenizer in ours.items()}
    assert kinds == {
        "byte_level": DecodeKind.BYTES,
        "byte_level_bos": DecodeKind.BYTES,
        "sentencepiece": DecodeKind.SENTENCEPIECE,
        "unigram": DecodeKind.PIECES,
        "word_piece": DecodeKind.PIECES,
        "word_end": DecodeKind.WINDOW,
    }


def byte_ids(tokenizer, data):
    if tokenizer.token_table.kind is DecodeKind.BYTES:
        table = {tokenizer.token_table.token_bytes[i]: i for i in range(len(tokenizer))}
        return [table[bytes([byte])] for byte in data]
    return [tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in data]


@pytest.mark.parametrize("family", ["byte_level", "sentencepiece"])
def test_a_character_comes_out_with_its_last_byte_or_after_it(family, ours):
    tokenizer = ours[family]
    ids = byte_ids(tokenizer, "😀".encode())
    detokenizer = IncrementalDetokenizer(tokenizer, [])
    assert [detokenizer.push([i]) for i in ids[:3]] == ["", "", ""]
    assert detokenizer.push(ids[3:]) + detokenizer.flush() == "😀"


@pytest.mark.parametrize("family", ["byte_level", "sentencepiece"])
def test_a_character_begun_by_the_prompt_belongs_to_the_output(family, ours):
    tokenizer = ours[family]
    ids = byte_ids(tokenizer, "😀".encode())
    assert stream(tokenizer, ids[:2], [ids[2:]]) == "😀"


def test_a_character_that_the_prompt_leaves_broken_is_not_output(ours):
    tokenizer = ours["byte_level"]
    ids = byte_ids(tokenizer, "😀".encode())
    assert stream(tokenizer, ids[:2], [tokenizer.encode("A")]) == "A"


@pytest.mark.parametrize("family", ["byte_level", "sentencepiece"])
def test_endless_invalid_bytes_come_out_as_they_go_in(family, ours):
    tokenizer = ours[family]
    detokenizer = IncrementalDetokenizer(tokenizer, [])
    broken = byte_ids(tokenizer, b"\xff")
    lengths = [len(detokenizer.push(broken)) for _ in range(500)]
    assert set(lengths) == {1}


@pytest.mark.parametrize("family", ["byte_level", "sentencepiece"])
def test_endless_bytes_of_valid_text_are_not_held_for_ever(family, ours):
    tokenizer = ours[family]
    detokenizer = IncrementalDetokenizer(tokenizer, [])
    ids = byte_ids(tokenizer, "é".encode() * 500)
    sizes, total = [], 0
    for count, token in enumerate(ids, 1):
        total += len(detokenizer.push([token]).encode())
        sizes.append(count - total)
    assert max(sizes) <= MAX_HELD_BYTES
    assert total + len(detokenizer.flush().encode()) == len(ids)


def test_an_unfinished_character_at_the_end_is_one_broken_one(ours):
    tokenizer = ours["byte_level"]
    ids = byte_ids(tokenizer, "a😀".encode()[:-1])
    assert stream(tokenizer, [], [ids]) == tokenizer.decode(ids) == "a" + BROKEN


def test_special_tokens_are_left_out_or_kept(ours):
    tokenizer = ours["byte_level"]
    ids = tokenizer.encode("a<|end|><tool_call>b")
    assert stream(tokenizer, [], [ids]) == "a<tool_call>b"
    kept = stream(tokenizer, [], [ids], skip_special_tokens=False)
    assert kept == "a<|end|><tool_call>b"


def test_ids_outside_the_vocabulary_are_left_out(ours):
    tokenizer = ours["byte_level"]
    ids = tokenizer.encode("ab")
    assert stream(tokenizer, [], [[*ids, 10**6, -1, 2**40], ids]) == "abab"


def test_a_python_tokenizer_is_streamed_by_its_own_decode(ours):
    class Spelling:
        """Decodes ids to letters, and a pair of 1s to a character that one alone is not."""

        is_fast = False

        def decode(self, ids, skip_special_tokens, spaces):
            text = "".join("\x01" if i == 1 else chr(i) for i in ids if i != 99)
            return text.replace("\x01\x01", "é").replace("\x01", BROKEN)

        def id_to_token(self, token_id):
            return str(token_id)

        def special_ids(self):
            return frozenset({99})

        def decoder_spec(self):
            return {"type": "Opaque"}

    from sglang.srt.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer(Spelling())
    detokenizer = IncrementalDetokenizer(tokenizer, [65])
    assert [detokenizer.push([i]) for i in (66, 1, 1, 99, 67)] == ["B", "", "é", "", "C"]
    held = [detokenizer.push([1]) for _ in range(3)]
    assert held == ["", "é", ""]
    assert detokenizer.flush() == BROKEN


def test_a_window_that_stays_broken_is_let_go():
    class Broken:
        is_fast = False

        def decode(self, ids, skip_special_tokens, spaces):
            return BROKEN * len(ids)

        def id_to_token(self, token_id):
            return str(token_id)

        def special_ids(self):
            return frozenset()

        def decoder_spec(self):
            return {"type": "Opaque"}

    from sglang.srt.tokenizer.tokenizer import Tokenizer

    detokenizer = IncrementalDetokenizer(Tokenizer(Broken()), [])
    total = sum(len(detokenizer.push([1])) for _ in range(200))
    assert total >= 200 - MAX_HELD_TOKENS
    assert total + len(detokenizer.flush()) == 200
