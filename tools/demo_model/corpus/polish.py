"""Samples of the fourth phase: native small talk, number stories, copying inside every task."""

# ruff: noqa: RUF001 -- these characters are meant

from __future__ import annotations

import random

from . import arithmetic
from .base import Sample, ask, chat, made_up_word, plain, spin
from .languages import (
    LANGUAGES,
    SYSTEM_SHAPES,
    capital_sentence,
    native_capital_question,
    translations,
)
from .practice import words
from .toolbox import PEOPLE
from .topics import load

_ENGLISH = {"who": 0, "hello": 4, "thanks": 6, "bye": 7}
"""Blocks of ``identity.txt`` whose wordings ask for a block of the language files."""
_NATIVE_MARK = {
    "who": ("SGLang的演示模型", "démonstration", "demostración", "Demomodell"),
    "hello": ("你好！", "Bonjour !", "¡Hola!", "Hallo!"),
    "thanks": ("不客气", "De rien", "De nada", "Gern geschehen"),
    "bye": ("再见！", "Au revoir", "¡Adiós!", "Auf Wiedersehen"),
}
_GREETINGS = {
    "zh": "{你好呀|你好|您好|大家早上好|你好，我的朋友|嗨，你好|早安}{！|。|}",
    "fr": "{Bonjour|Bonsoir|Salut|Bonjour madame|Bonjour mon ami|Salut les amis}{ !|.|!|}",
    "es": "{Hola|¡Hola|Hola, buenos días|Hola a todos|Buenas|Hola señor}{!|.|}",
    "de": "{Hallo|Hallo zusammen|Guten Tag|Hallo, guten Morgen|Guten Abend|Hallo Freunde}{!|.|}",
}
_WHO = {
    "zh": "{请问您是谁|你到底是谁|你是什么模型|告诉我你是谁|你是谁呀}{？|。|}",
    "fr": "{Qui es-tu|Dis-moi qui tu es|Tu es qui|Quel modèle es-tu|Qui êtes-vous donc}{ ?|?|.}",
    "es": "{¿Quién eres|Dime quién eres|¿Qué modelo eres|¿Y quién eres}{?|.}",
    "de": "{Wer bist du|Sag mir, wer du bist|Welches Modell bist du|Und wer sind Sie}{?|.}",
}
_BEFORE = {
    "zh": ("我想知道", "你知道", "麻烦问一下，", "问一下，", "快告诉我，", ""),
    "fr": ("Dis, ", "Bonjour, ", "Question : ", ""),
    "es": ("Oye, ", "Hola, ", "Pregunta: ", ""),
    "de": ("Sag mal, ", "Hallo, ", "Frage: ", ""),
}


def answer(language: str, topic: str) -> str:
    file_name, _ = LANGUAGES[language]
    mark = _NATIVE_MARK[topic][list(LANGUAGES).index(language)]
    return next(block.answer for block in load(file_name) if mark in block.answer)


def languages(rng: random.Random) -> Sample:
    """English small talk under a language's system prompt, and native questions in other words."""
    language = rng.choice(("Chinese", "Chinese", "French", "Spanish", "German"))
    code = LANGUAGES[language][1]
    roll = rng.random()
    if roll < 0.45:
        topic = rng.choice(("who", "who", "hello", "thanks", "bye"))
        block = load("identity")[_ENGLISH[topic]]
        question = ask(rng, rng.choice(block.questions))
        system = spin(rng, rng.choice(SYSTEM_SHAPES), l=language)
        return chat(rng, question, answer(language, topic), system=system)
    if roll < 0.6:
        return chat(rng, spin(rng, _GREETINGS[code]), answer(language, "hello"))
    if roll < 0.72:
        return chat(rng, spin(rng, _WHO[code]), answer(language, "who"))
    row = rng.choice(translations())
    question = rng.choice(_BEFORE[code]) + native_capital_question(rng, code, row)
    return chat(rng, question, capital_sentence(code, row))


def stories(rng: random.Random) -> Sample:
    """Sums told as stories."""
    a, sign, b, _ = item = arithmetic.problem(rng)
    noun = rng.choice(("pens", "cards", "eggs", "cups", "stones", "cats", "dogs", "cars", "chairs",
                       "flowers", "fish", "toys", "boats", "children"))  # fmt: skip
    place = rng.choice(("in the room", "on the table", "in the garden", "in the box", "on the road",
                        "in the lake", "at school"))  # fmt: skip
    who, other = rng.sample(PEOPLE, 2)
    shapes = {
        "+": (
            "There are $a $n $p and $b more {come|join|are added}. How many $n {are there|is that}"
            "{| now| altogether}?",
            "$w has $a $n. $o gives $w $b more. How many $n {has $w|does $w have} now?",
            "$w has $a $n and $o has $b $n. How many do they have {together|in total}?",
        ),
        "-": (
            "There are $a $n $p. $b of them {leave|go away|are sold}. How many {$n |}{stay|remain|"
            "are left}?",
            "$w had $a $n and gave $b to $o. How many {$n |}{are left|does $w still have}?",
            "$w owns $a $n and loses $b of them. How many $n {are left|does $w have now}?",
        ),
        "x": (
            "$w buys $a {bags|boxes} of $n. Each has $b $n. How many $n {is that|are there}?",
            "There are $a {rows|tables|rooms} with $b $n {in|at} each. How many $n {is that|in "
            "total}?",
        ),
        "/": (
            "$w shares $a $n {between|among} $b {friends|children}. How many does each {one |}get?",
            "$a $n go into $b equal groups. How many are in each group?",
        ),
    }
    text = spin(rng, rng.choice(shapes[sign]), a=a, b=b, n=noun, p=place, w=who, o=other)
    return chat(rng, text, arithmetic.answer(item))


def chains(rng: random.Random) -> Sample:
    """Results that are used again, dense: ``a + b = c`` and then ``c + d``."""
    pieces: list[tuple[str, bool]] = []
    for _ in range(rng.randint(3, 5)):
        item = arithmetic.problem(rng)
        pieces += [(f"{arithmetic.expression(rng, item)}?\n", False)]
        pieces += [(f"{arithmetic.answer(item)}\n", True)]
        extra = rng.randint(1, 20)
        pieces += [(spin(rng, "{add|plus|and} $n\n", n=extra), False)]
        pieces += [(f"{item[3]} + {extra} = {item[3] + extra}\n", True)]
    return Sample(pieces=pieces)


def echo(rng: random.Random) -> Sample:
    """Copying in a dense list: quotes, names, numbers and sentences."""
    pieces: list[tuple[str, bool]] = []
    for _ in range(rng.randint(3, 5)):
        text = words(rng, 1, 5) if rng.random() < 0.6 else made_up_word(rng, rng.choice((2, 3)))
        if rng.random() < 0.2:
            text = f"{text} {rng.randint(1, 9999)}"
        start = spin(rng, "{Say|Say|Repeat|Write|Echo}")
        pieces += [(f"{start} {text}\n", False), (f"{text}\n", True)]
    return Sample(pieces=pieces)


def extract(rng: random.Random) -> Sample:
    """Fields of a line, asked one after the other."""
    name = rng.choice(PEOPLE) if rng.random() < 0.5 else made_up_word(rng, 2).capitalize()
    city = made_up_word(rng, 2).capitalize()
    number = rng.randint(1, 99999)
    fields = {"name": name, "city": city, "number": str(number), "code": made_up_word(rng, 3)}
    keys = rng.sample(list(fields), rng.randint(2, 4))
    line = ", ".join(f"{key} {fields[key]}" for key in keys)
    inner = ", ".join(
        f'"{key}": {fields[key]}' if key == "number" else f'"{key}": "{fields[key]}"'
        for key in rng.sample(keys, len(keys))
    )
    return plain(f"{line}\nJSON:", f" {{{inner}}}")
