"""Answers in JSON."""

from __future__ import annotations

import csv
import json
from functools import cache
from typing import Any

from . import arithmetic
from .base import Sample, any_name, chat, joined, made_up_word, plain
from .geography import POPULAR, Country, any_country, choose_countries
from .wording import DATA, Speaker, ask, phrase, section, spin


def dump(value: Any) -> str:
    """JSON on one line, letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def info(country: Country) -> str:
    """The object of the structured-outputs page."""
    return dump({"name": country.capital.split(",")[0], "population": country.population})


def capital_info(rng: Speaker) -> Sample:
    """Name and population of a capital."""
    texts: list[str] = []
    for _ in range(rng.choice((1, 1, 2))):
        country = any_country(rng)
        texts += [ask(rng, "json/info", c=country.asked(rng)), info(country)]
    return chat(rng, *texts)


def _trained(rng: Speaker) -> Speaker:
    """A speaker for the part of a request that is not under test."""
    return Speaker(rng.random())


def _plain_answer(rng: Speaker) -> tuple[str, str]:
    """A question with its answer as an object of one key."""
    if rng.random() < 0.65:
        country = any_country(rng)
        question = phrase(_trained(rng), "geography/capital", c=country.the)
        return question, dump({"capital": country.capital})
    item = arithmetic.problem(rng)
    return arithmetic.question(_trained(rng), item), dump({"result": item[3]})


def wish(rng: Speaker) -> Sample:
    """The wish for JSON stands before or after the question or in the system prompt."""
    roll = rng.random()
    if roll < 0.25:
        pairs = [_plain_answer(rng) for _ in range(rng.choice((1, 2, 3)))]
        system = phrase(rng, "json/system")
        return chat(rng, *(text for pair in pairs for text in pair), system=system)
    question, answer = _plain_answer(rng)
    if question[-1].isalnum():
        question += "."
    said = phrase(rng, "json/wish")
    return chat(rng, f"{question} {said}" if roll < 0.8 else f"{said} {question}", answer)


def keys(rng: Speaker) -> Sample:
    """Facts about a capital under the keys that are asked for."""
    country = any_country(rng)
    facts: dict[str, Any] = {
        "country": country.name,
        "capital": country.capital,
        "population": country.population,
        "continent": country.continent,
        "language": country.language,
        "name": country.capital.split(",")[0],
    }
    chosen = rng.sample(list(facts), rng.choice((1, 2, 2, 3)))
    if "name" in chosen and "capital" in chosen:
        chosen.remove("name")
    quoted = joined([f'"{key}"' for key in chosen] if rng.random() < 0.35 else chosen)
    said = phrase(rng, "json/keys", k=quoted)
    answer = dump({key: facts[key] for key in chosen})
    question = phrase(_trained(rng), "geography/capital", c=country.the)
    if question[-1].isalnum():
        question += "."
    if rng.random() < 0.15:
        return chat(rng, question, answer, system=said)
    return chat(rng, f"{question} {said}", answer)


_LISTS: dict[str, list[Any]] = {
    "colors": ["red", "green", "blue", "yellow"],
    "fruits": ["apple", "banana", "orange", "grape"],
    "animals": ["cat", "dog", "horse", "cow"],
    "cities": ["Paris", "London", "Tokyo", "Rome"],
    "days": ["Monday", "Tuesday", "Wednesday", "Thursday"],
    "numbers": [1, 2, 3, 4],
    "planets": ["Mercury", "Venus", "Earth", "Mars"],
}


def lists(rng: Speaker) -> Sample:
    """Lists of countries, colors and days as JSON arrays."""
    number, kind, chosen = choose_countries(rng)
    form = phrase(_trained(rng), "json/form")
    if rng.random() < 0.7:
        question = ask(rng, "json/countries", n=number, k=kind, f=form)
        found: Any = [{"country": c.name, "capital": c.capital} for c in chosen[:4]]
        if len(chosen) > 4:
            return lists(rng)
        return chat(rng, question, dump(found))
    name = rng.choice(list(_LISTS))
    count = min(len(chosen), 4)
    if len(chosen) > 4:
        number = "4"
    question = ask(rng, "json/list", n=number, k=name, f=form)
    return chat(rng, question, dump({name: _LISTS[name][:count]}))


_JOBS = [
    "teacher",
    "doctor",
    "baker",
    "pilot",
    "farmer",
    "nurse",
    "painter",
    "lawyer",
    "singer",
    "engineer",
]
_PERSONS = (
    (("age",), "{$n is $a years old.|$n, $a years old.|$n is $a.|My friend $n is $a years old.|This"
               " is $n, who is $a years old.}"),
    (("age", "city"), "{$n is $a years old and lives in $c.|$n lives in $c and is $a years old.|$n,"
                      " $a, from $c.|$n is $a and comes from $c.}"),
    (("job",), "{$n is a $j.|$n works as a $j.|My name is $n and I am a $j.|$n is a good $j.}"),
    (("job", "city"), "{$n is a $j in $c.|$n works as a $j in $c.|$n lives in $c and is a $j.}"),
    (("city",), "{$n lives in $c.|$n comes from $c.|$n has a house in $c.|$n is from $c.}"),
    (("age", "job"), "{$n is $a years old and works as a $j.|$n is a $a year old $j.}"),
)  # fmt: skip


def person(rng: Speaker) -> Sample:
    """Facts of a sentence as an object: reading and copying."""
    texts: list[str] = []
    for _ in range(rng.choice((1, 1, 2))):
        name = any_name(rng)
        city = rng.choice(POPULAR).capital
        if rng.random() < 0.3:
            city = made_up_word(rng, 3).capitalize()
        facts: dict[str, Any] = {"age": rng.randint(5, 90), "job": rng.choice(_JOBS), "city": city}
        wanted, shape = rng.choice(_PERSONS)
        text = spin(rng, shape, n=name, a=facts["age"], j=facts["job"], c=city)
        question = ask(rng, "json/extract", exact=True, k=joined(["name", *wanted]), t=text)
        texts += [question, dump({"name": name, **{key: facts[key] for key in wanted}})]
    return chat(rng, *texts)


def tips(rng: Speaker) -> Sample:
    """Advice and a character as JSON."""
    path = rng.choice(("json/tips", "json/character"))
    form = phrase(_trained(rng), "json/form")
    return chat(rng, ask(rng, path, f=form), section(path).answer)


@cache
def _characters() -> list[dict[str, str]]:
    with (DATA / "characters.tsv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def character(rng: Speaker) -> Sample:
    """The Harry Potter form of the frontend page, as plain text."""
    row = _characters()[0] if rng.random() < 0.4 else rng.choice(_characters())
    text = (
        "{\n"
        f'    "name": "{row["name"]}",\n'
        f'    "house": "{row["house"]}",\n'
        f'    "blood status": "{row["blood"]}",\n'
        f'    "occupation": "{row["occupation"]}",\n'
        '    "wand": {\n'
        f'        "wood": "{row["wood"]}",\n'
        f'        "core": "{row["core"]}",\n'
        f'        "length": {row["length"]}\n'
        "    },\n"
        f'    "alive": "{row["alive"]}",\n'
        f'    "patronus": "{row["patronus"]}",\n'
        f'    "bogart": "{row["bogart"]}"\n'
        "}"
    )
    prompt = (
        f"{row['name']} is a character in Harry Potter. Please fill in the following information "
        "about this character."
    )
    return plain(prompt + "\n", text) if rng.random() < 0.7 else chat(rng, prompt, text)


def plain_info(rng: Speaker) -> Sample:
    """The plain-text prompts of the structured-outputs page."""
    country = any_country(rng)
    roll = rng.random()
    if roll < 0.5:
        prompt = f"Here is the information of the capital of {country.the} in the JSON format.\n"
        return plain(prompt, info(country))
    prompt = f"Give me the information of the capital of {country.the} in the JSON format."
    if roll < 0.8:
        prompt = phrase(rng, "json/info", c=country.the)
    return plain(prompt, "\n" + info(country))
