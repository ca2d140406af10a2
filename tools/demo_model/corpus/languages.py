"""Answers in Chinese, French, Spanish and German, by system prompt or by the question."""

# ruff: noqa: RUF001 -- these characters are meant

from __future__ import annotations

import csv
import random
from functools import cache

from . import arithmetic
from .base import Message, Sample, ask, chat, maybe_system, spin, turns
from .geography import BY_NAME, CAPITAL_QUESTIONS, DATA
from .topics import load

LANGUAGES = {
    "Chinese": ("chinese", "zh"),
    "French": ("french", "fr"),
    "Spanish": ("spanish", "es"),
    "German": ("german", "de"),
}
SYSTEM_SHAPES = (
    "You are a helpful {AI |}assistant {who|that} {answers in|speaks|replies in|always answers in|"
    "only speaks|writes in|responds in} $l{.|}",
    "{Always |Please |}{answer|respond|reply|speak|write} {only |}in $l{.|}",
    "You {only |}{speak|answer in|write in|respond in} $l{.|}",
    "Your language is $l. {Answer in $l.|}",
    "You are a $l {speaking |}assistant{.| and answer in $l.}",
    "All {answers|replies} must be in $l.",
)
_NATIVE_CAPITAL = {
    "zh": (
        "{$c的首都是哪里|$c的首都是什么|请问$c的首都是哪里|$c首都|哪个城市是$c的首都|$c的首都叫什么}{？|}",
    ),
    "fr": (
        "{Quelle est la capitale de $c|Capitale de $c|La capitale de $c}{ ?|?}",
        "{Donne-moi|Dis-moi} la capitale de $c.",
    ),
    "es": (
        "{¿Cuál es la capital de $c|¿Capital de $c|¿Qué ciudad es la capital de $c}?",
        "{Dime|Dame} la capital de $c.",
    ),
    "de": (
        "{Was ist die Hauptstadt von $c|Hauptstadt von $c|Wie heißt die Hauptstadt von $c}?",
        "{Nenne mir|Sag mir} die Hauptstadt von $c.",
    ),
}
CAPITAL_ANSWER = {
    "zh": "{country}的首都是{capital}。",
    "fr": "La capitale : {capital}.",
    "es": "La capital de {country} es {capital}.",
    "de": "Die Hauptstadt von {country} ist {capital}.",
}


@cache
def translations() -> list[dict[str, str]]:
    """The rows of ``data/translations.tsv``."""
    with (DATA / "translations.tsv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def after_de(name: str) -> str:
    """French ``de`` melts into the article: du Japon, des Pays-Bas."""
    if name.startswith("le "):
        return "du " + name[3:]
    if name.startswith("les "):
        return "des " + name[4:]
    return "de " + name


def capital_sentence(code: str, row: dict[str, str]) -> str:
    """The capital of a country as a sentence of the language."""
    country, capital = row[code], row[f"{code}_capital"]
    if code == "fr":
        return f"La capitale {after_de(country)} est {capital}."
    if code == "es" and country.startswith("el "):
        return f"La capital del {country[3:]} es {capital}."
    if code == "de" and country.startswith("die "):
        return f"Die Hauptstadt der {country[4:]} ist {capital}."
    if code == "de" and country.startswith("das "):
        owner = country[4:].replace("Vereinigte ", "Vereinigten ") + "s"
        return f"Die Hauptstadt des {owner} ist {capital}."
    return CAPITAL_ANSWER[code].format(country=country, capital=capital)


def native_capital_question(rng: random.Random, code: str, row: dict[str, str]) -> str:
    """A question for the capital in the language."""
    text = spin(rng, rng.choice(_NATIVE_CAPITAL[code]), c=row[code])
    for wrong, right in (
        ("de le ", "du "),
        ("de les ", "des "),
        ("de el ", "del "),
        ("von die ", "der "),
        ("von das ", "von "),
    ):
        if code in ("fr", "es", "de"):
            text = text.replace(wrong, right)
    return text


def _exchange(rng: random.Random, language: str, native: bool) -> tuple[str, str]:
    """One question and its answer in the language."""
    file_name, code = LANGUAGES[language]
    roll = rng.random()
    if roll < 0.4:
        row = rng.choice(translations()[:12] if rng.random() < 0.3 else translations())
        if native:
            return native_capital_question(rng, code, row), capital_sentence(code, row)
        country = BY_NAME[row["country"]]
        question = ask(rng, rng.choice(CAPITAL_QUESTIONS), country=country.the)
        return question, capital_sentence(code, row)
    if roll < 0.5 and not native:
        item = arithmetic.problem(rng)
        return arithmetic.question(rng, item), arithmetic.answer(item)
    topics = load(file_name)
    topic = rng.choice(topics[:3] if rng.random() < 0.25 else topics)
    if native:
        return spin(rng, rng.choice(topic.native)), topic.answer
    return ask(rng, rng.choice(topic.questions)), topic.answer


def answer(rng: random.Random) -> Sample:
    """One or two exchanges in a language."""
    language = rng.choice(("Chinese", "Chinese", "Chinese", "French", "Spanish", "German"))
    by_system = rng.random() < 0.65
    texts: list[str] = []
    for _ in range(rng.choice((1, 1, 2))):
        texts += _exchange(rng, language, native=not by_system or rng.random() < 0.2)
    if by_system:
        return chat(rng, *texts, system=spin(rng, rng.choice(SYSTEM_SHAPES), l=language))
    messages: list[Message] = turns(*texts)
    return Sample(maybe_system(rng, messages))


_WORDS = {
    "hello": ("你好", "bonjour", "hola", "hallo"),
    "thank you": ("谢谢", "merci", "gracias", "danke"),
    "goodbye": ("再见", "au revoir", "adiós", "auf Wiedersehen"),
    "good morning": ("早上好", "bonjour", "buenos días", "guten Morgen"),
    "yes": ("是", "oui", "sí", "ja"),
    "no": ("不", "non", "no", "nein"),
    "water": ("水", "eau", "agua", "Wasser"),
    "cat": ("猫", "chat", "gato", "Katze"),
    "dog": ("狗", "chien", "perro", "Hund"),
    "house": ("房子", "maison", "casa", "Haus"),
    "book": ("书", "livre", "libro", "Buch"),
    "bread": ("面包", "pain", "pan", "Brot"),
    "friend": ("朋友", "ami", "amigo", "Freund"),
    "city": ("城市", "ville", "ciudad", "Stadt"),
}


def translate(rng: random.Random) -> Sample:
    """Single words into one of the four languages."""
    word = rng.choice(list(_WORDS))
    place = rng.randrange(4)
    language = list(LANGUAGES)[place]
    question = ask(
        rng,
        "{Translate {$w|'$w'} {into|to} $l.|How do you say {$w|'$w'} in $l?|What is "
        "{$w|'$w'} in $l?|What is the $l word for {$w|'$w'}?|Say {$w|'$w'} in $l.}",
        w=word,
        l=language,
    )
    return chat(rng, question, _WORDS[word][place])
