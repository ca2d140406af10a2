"""The corpus of the demo model: reproducible, correct, and apart from its evaluation."""

from __future__ import annotations

import json
import re

from tools.demo_model.corpus import FURTHER, HELD_OUT, held_out, samples
from tools.demo_model.corpus.arithmetic import Problem, answer, expression, problem
from tools.demo_model.corpus.base import in_words
from tools.demo_model.corpus.geography import BY_NAME
from tools.demo_model.corpus.wording import DATA, Speaker, ask, held_out_speaker, load, spin
from tools.demo_model.evaluate import HELD_OUT_SEED, PER_CATEGORY, held_out_items
from tools.demo_model.rendering import segments

FILES = [path.stem for path in sorted((DATA / "wordings").glob("*.txt"))]
KINDS = {"fact", "thing", "clause", "do", "ask", "about", "raw"}


def text_of(seed: int, count: int) -> list[str]:
    return ["".join(text for text, _ in segments(sample)) for sample in samples(seed, count)]


def test_the_same_seed_gives_the_same_corpus() -> None:
    assert text_of(3, 300) == text_of(3, 300)


def test_another_seed_gives_another_corpus() -> None:
    assert text_of(3, 20) != text_of(4, 20)


def test_every_core_has_a_known_kind() -> None:
    for name in FILES:
        for title, section in load(name).items():
            assert {*section.trained, *section.held_out} <= KINDS, (name, title)


def test_held_out_cores_are_not_trained() -> None:
    for name in FILES:
        for title, section in load(name).items():
            for kind, cores in section.held_out.items():
                assert not set(cores) & set(section.trained[kind]), (name, title)


def test_about_six_percent_of_the_cores_are_held_out() -> None:
    sections = [section for name in FILES for section in load(name).values()]
    held = sum(len(cores) for section in sections for cores in section.held_out.values())
    trained = sum(len(cores) for section in sections for cores in section.trained.values())
    assert 0.05 < held / (held + trained) < 0.12


def test_held_out_wordings_do_not_come_up_in_training() -> None:
    cores = [
        core
        for section in load("geography").values()
        for core in section.held_out["raw"]
        if "$c" in core and "{" not in core
    ]
    patterns = [re.compile(re.escape(core).replace(r"\$c", "[A-Z][A-Za-z ]+$")) for core in cores]
    asked = {
        str(message["content"])
        for sample in samples(5, 4000)
        for message in sample.messages
        if message["role"] == "user"
    }
    assert cores
    assert not [text for text in asked if any(pattern.fullmatch(text) for pattern in patterns)]


def test_a_skill_has_thousands_of_surface_forms() -> None:
    rng = Speaker(1)
    assert len({ask(rng, "geography/capital", c="France") for _ in range(6000)}) > 3000


def test_spin_fills_values_in_last() -> None:
    assert spin(Speaker(0), "{Say|Say} $t", t='{"a|b": 1}') == 'Say {"a|b": 1}'


def test_a_held_out_speaker_uses_only_held_out_cores() -> None:
    rng = held_out_speaker(2)
    section = load("geography")["follow_capital"]
    from tools.demo_model.corpus.wording import phrase

    said = {phrase(rng, "geography/follow_capital", c="Peru") for _ in range(200)}
    assert said == {core.replace("$c", "Peru") for core in section.held_out["raw"]}


def test_arithmetic_is_right() -> None:
    rng = Speaker(9)
    for _ in range(500):
        a, sign, b, result = item = problem(rng)
        assert result == {"+": a + b, "-": a - b, "x": a * b, "/": a // b if b else 0}[sign]
        assert answer(item) == f"{a} {sign} {b} = {result}"


def test_expressions_name_both_operands() -> None:
    rng = Speaker(4)
    item: Problem = (42, "-", 17, 25)
    for _ in range(50):
        text = expression(rng, item)
        assert all(str(n) in text or in_words(n) in text for n in (42, 17))


def test_capital_answers_agree_with_the_table() -> None:
    found = 0
    for sample in samples(11, 1500):
        for message in sample.messages:
            match = re.fullmatch(r"The capital of (?:the )?(.+?) is (.+?)\.", message["content"])
            if match and message["role"] == "assistant":
                assert BY_NAME[match[1]].capital.rstrip(".") == match[2]
                found += 1
    assert found > 100


def test_json_answers_are_json() -> None:
    found = 0
    for sample in samples(12, 2000):
        for message in sample.messages:
            content = message["content"]
            if message["role"] == "assistant" and content.startswith(('{"', "[{")):
                json.loads(content)
                found += 1
    assert found > 50


def test_every_category_has_held_out_items() -> None:
    assert {category for category, _ in held_out(0, 2)} == set(HELD_OUT)


def test_a_held_out_item_accepts_its_own_answer_and_nothing_else() -> None:
    asked = {True: held_out_items(further=True), False: held_out_items(further=False)}
    for category, sample in held_out(HELD_OUT_SEED, PER_CATEGORY):
        item = next(asked[category in FURTHER])
        expected = segments(sample)[-1][0].removesuffix("<|im_end|>").strip()
        assert item.check(expected)
        assert not item.check(expected + " And more.")
        assert item.prompt.endswith("<|im_start|>assistant\n")
