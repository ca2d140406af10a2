"""Answers in Chinese, French, Spanish and German, by system prompt or by the question."""

from __future__ import annotations

import csv
from functools import cache

from . import arithmetic, topics
from .base import Exchange, Sample, chat
from .geography import BY_NAME
from .wording import DATA, Speaker, ask, load, phrase

LANGUAGES = {"Chinese": "zh", "French": "fr", "Spanish": "es", "German": "de"}
_ENGLISH = {title: name for name in ("identity", "knowledge", "writing") for title in load(name)}


@cache
def translations() -> list[dict[str, str]]:
    """The rows of ``data/translations.tsv``."""
    with (DATA / "translations.tsv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def of_country(code: str, name: str) -> str:
    """The country after ``of``: du Japon, des Pays-Bas, der Schweiz, del Reino Unido."""
    if code == "fr":
        for article, melted in (("le ", "du "), ("les ", "des ")):
            if name.startswith(article):
                return melted + name.removeprefix(article)
        return f"de {name}"
    if code == "es":
        return f"del {name[3:]}" if name.startswith("el ") else f"de {name}"
    if name.startswith("die "):
        return f"der {name[4:]}"
    if name.startswith("das "):
        return f"des {name[4:].replace('Vereinigte ', 'Vereinigten ')}s"
    return f"von {name}"


def capital_sentence(code: str, row: dict[str, str]) -> str:
    """The capital of a country as a sentence of the language."""
    country, capital = row[code], row[f"{code}_capital"]
    if code == "zh":
        return f"{country}的首都是{capital}。"
    start = {"fr": "La capitale", "es": "La capital", "de": "Die Hauptstadt"}[code]
    verb = {"fr": "est", "es": "es", "de": "ist"}[code]
    return f"{start} {of_country(code, country)} {verb} {capital}."


def _row(rng: Speaker) -> dict[str, str]:
    return rng.choice(translations()[:12] if rng.random() < 0.3 else translations())


def native(rng: Speaker, language: str) -> Exchange:
    """A question in the language."""
    code, name = LANGUAGES[language], language.lower()
    if rng.random() < 0.45:
        row = _row(rng)
        country = row[code] if code == "zh" else of_country(code, row[code])
        return phrase(rng, f"{name}/capital", c=country, d=country), capital_sentence(code, row)
    title = rng.choice(["who", "who", "hello", *(t for t in load(name) if t != "capital")])
    return phrase(rng, f"{name}/{title}"), load(name)[title].answer


def english(rng: Speaker, language: str) -> Exchange:
    """An English question that is to be answered in the language."""
    code, name = LANGUAGES[language], language.lower()
    roll = rng.random()
    if roll < 0.4:
        row = _row(rng)
        question = ask(rng, "geography/capital", c=BY_NAME[row["country"]].the)
        return question, capital_sentence(code, row)
    if roll < 0.46:
        return arithmetic.exercise(rng)
    title = rng.choice(["who", "who", "hello", *(t for t in load(name) if t != "capital")])
    question, _ = topics.fixed(rng, f"{_ENGLISH[title]}/{title}")
    return question, load(name)[title].answer


def by_system(rng: Speaker) -> Sample:
    """A system prompt, or the question itself, asks for a language."""
    language = rng.choice(("Chinese", "Chinese", *LANGUAGES))
    if rng.random() < 0.12:
        question, answer = english(rng, language)
        wish = phrase(rng, "systems/answer_in", l=language)
        return chat(rng, f"{question} {wish}", answer)
    system = phrase(rng, "systems/language", l=language)
    texts: list[str] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        texts += native(rng, language) if rng.random() < 0.12 else english(rng, language)
    return chat(rng, *texts, system=system)


def by_question(rng: Speaker) -> Sample:
    """The question is in the language."""
    language = rng.choice(("Chinese", *LANGUAGES))
    pairs = [native(rng, language) for _ in range(rng.choice((1, 1, 2, 3)))]
    return chat(rng, *(text for pair in pairs for text in pair))
