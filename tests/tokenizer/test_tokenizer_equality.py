"""Our tokenizer answers as transformers' fast tokenizer does."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import tokenizer_samples as samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FAMILIES = pytest.mark.parametrize("family", samples.FAMILIES)
TEXTS = [
    "",
    " ",
    "The capital of France is",
    "  leading and trailing  ",
    "Größe 東京 😀👨‍👩‍👧 naïve\n\n\ttabs",
    "<s>special</s> <|begin|>in text<|end|><tool_call> [CLS]",
    "a" * 300,
]


@FAMILIES
@pytest.mark.parametrize("add_special_tokens", [True, False])
def test_encode(family, add_special_tokens, ours, theirs):
    for text in TEXTS:
        expected = theirs(family).encode(text, add_special_tokens=add_special_tokens)
        assert ours[family].encode(text, add_special_tokens=add_special_tokens) == expected


@FAMILIES
def test_encode_pairs(family, ours, theirs):
    pairs = list(pairwise(TEXTS))
    expected = [theirs(family).encode(first, second) for first, second in pairs]
    assert ours[family].encode_pairs(pairs) == expected


@FAMILIES
@given(text=st.text(max_size=40))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_encode_any_text(family, text, ours, theirs):
    assert ours[family].encode(text) == theirs(family).encode(text)


@FAMILIES
@pytest.mark.parametrize("skip", [True, False])
def test_decode_random_ids(family, skip, ours, theirs):
    rng = random.Random(0)
    size = len(ours[family])
    for _ in range(100):
        ids = [rng.randrange(size + 5) for _ in range(rng.randrange(1, 20))]
        assert ours[family].decode(ids, skip) == theirs(family).decode(
            ids, skip_special_tokens=skip
        )


@FAMILIES
def test_batches(family, ours, theirs):
    mine, other = ours[family], theirs(family)
    batch = mine.encode_batch(TEXTS)
    assert batch == [other.encode(text) for text in TEXTS]
    assert mine(TEXTS)["input_ids"] == batch
    assert mine.batch_decode(batch) == other.batch_decode(batch)


@FAMILIES
def test_call_has_a_mask(family, ours, theirs):
    encoding, expected = ours[family](TEXTS[2]), theirs(family)(TEXTS[2])
    assert encoding["input_ids"] == expected["input_ids"]
    assert encoding.attention_mask == expected["attention_mask"]


@FAMILIES
def test_vocabulary(family, ours, theirs):
    mine, other = ours[family], theirs(family)
    assert len(mine) == len(other)
    assert mine.vocab_size == other.vocab_size
    assert mine.get_vocab() == other.get_vocab()
    assert mine.get_added_vocab() == other.get_added_vocab()
    ids = list(range(len(mine)))
    assert mine.convert_ids_to_tokens(ids) == other.convert_ids_to_tokens(ids)
    assert mine.convert_ids_to_tokens(3) == other.convert_ids_to_tokens(3)
    tokens = [*mine.convert_ids_to_tokens(ids[:9]), "not a token"]
    assert mine.convert_tokens_to_ids(tokens) == other.convert_tokens_to_ids(tokens)


@FAMILIES
@pytest.mark.parametrize("role", ["bos", "eos", "pad", "unk"])
def test_named_special_tokens(family, role, ours, theirs):
    for name in (f"{role}_token", f"{role}_token_id"):
        assert getattr(ours[family], name) == getattr(theirs(family), name)


@FAMILIES
def test_all_special_tokens(family, ours, theirs):
    assert ours[family].all_special_tokens == theirs(family).all_special_tokens
    assert ours[family].all_special_ids == theirs(family).all_special_ids
    assert ours[family].special_tokens_map == theirs(family).special_tokens_map


def test_spaces_between_special_tokens_changes_nothing_for_a_fast_tokenizer(ours, theirs):
    ids = [0, 1, 0, 60, 1]
    for spaces in (True, False):
        expected = theirs("byte_level").decode(ids, spaces_between_special_tokens=spaces)
        text = ours["byte_level"].decode(ids, spaces_between_special_tokens=spaces)
        assert text == expected


def test_decode_takes_one_id_and_arrays(ours, theirs):
    np = pytest.importorskip("numpy")
    mine, other = ours["byte_level"], theirs("byte_level")
    assert mine.decode(70) == other.decode(70)
    assert mine.decode(np.array([70, 71])) == other.decode([70, 71])


def test_text_that_is_no_unicode_is_refused(ours):
    with pytest.raises(ValueError, match="surrogate"):
        ours["byte_level"].encode("a\ud800b")


def test_text_that_is_no_string_is_refused(ours):
    with pytest.raises(ValueError, match="must be a string, not int"):
        ours["byte_level"].encode(3)


def test_text_is_never_cleaned_up(ours):
    with pytest.raises(ValueError, match="clean_up_tokenization_spaces"):
        ours["word_piece"].decode([5, 6], clean_up_tokenization_spaces=True)
    assert ours["word_piece"].decode([5, 6], clean_up_tokenization_spaces=False)
