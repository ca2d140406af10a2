"""Answers in JSON."""

from __future__ import annotations

import csv
import json
import random
from functools import cache
from typing import Any

from . import arithmetic
from .base import Sample, ask, chat, joined, made_up_word, plain, spin
from .geography import (
    ADJECTIVE,
    BY_NAME,
    CAPITAL_QUESTIONS,
    DATA,
    LISTED,
    NUMBER_WORDS,
    POPULAR,
    Country,
    any_country,
    window,
)
from .toolbox import PEOPLE

INFO_QUESTIONS = (
    "{Give me|Please generate|Generate|Show me|Write|Please give me|Return|Provide|I need|Output}"
    " the information {of|about|on} the capital{| city} of $country {in|as|in the|using the} JSON{|"
    " format}{.| please.|}",
    "{Describe|Give details about|Tell me about|Information about} the capital{| city} of $country "
    "{in|as|in the|using} JSON{| format}{.| please.|}",
    "{Name|What is} the name and {the |}population of the capital of $country{?|.} {Answer|Reply|"
    "Respond} in JSON{| format}.",
)
WISHES = (
    "{Answer|Reply|Respond|Please answer} {in|with|as|using} {JSON|the JSON format|a JSON "
    "object|valid JSON}{.| please.}"
)


def dump(value: Any) -> str:
    """JSON on one line, letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def info(country: Country) -> str:
    """The object of the structured-outputs page."""
    return dump({"name": country.capital.split(",")[0], "population": country.population})


def capital_info(rng: random.Random) -> Sample:
    """Name and population of a capital."""
    country = any_country(rng)
    question = ask(rng, rng.choice(INFO_QUESTIONS), country=country.the)
    return chat(rng, question, info(country))


def with_wish(rng: random.Random, question: str, answer: str) -> Sample:
    """The wish for JSON stands before or after the question or in the system prompt."""
    wish = spin(rng, WISHES)
    roll = rng.random()
    if roll < 0.25:
        system = spin(
            rng,
            "{You are a helpful assistant {that|who} {answers|replies|responds} {in|"
            "with|only in} JSON.|Always answer in JSON.|Reply in JSON.|You output "
            "only JSON.|You are a JSON API.}",
        )
        return chat(rng, question, answer, system=system)
    return chat(rng, f"{question} {wish}" if roll < 0.75 else f"{wish} {question}", answer)


def capital_answer(rng: random.Random) -> Sample:
    """A capital, asked for in JSON; the keys may be given."""
    country = any_country(rng)
    question = spin(rng, rng.choice(CAPITAL_QUESTIONS), country=country.the)
    facts: dict[str, Any] = {
        "country": country.name,
        "capital": country.capital,
        "population": country.population,
        "continent": country.continent,
        "language": country.language,
        "name": country.capital,
    }
    if rng.random() < 0.4:
        return with_wish(rng, question, dump({"capital": country.capital}))
    keys = rng.sample(list(facts), rng.choice((1, 2, 2, 3)))
    if "name" in keys and "capital" in keys:
        keys.remove("name")
    quoted = joined([f'"{key}"' for key in keys] if rng.random() < 0.4 else keys)
    wish = spin(
        rng,
        "{Answer in|Use|Reply with|Return|Give me} JSON with {the |}{key|keys|field|fields} $k.",
        k=quoted,
    )
    answer = dump({key: facts[key] for key in keys})
    if rng.random() < 0.2:
        return chat(rng, question, answer, system=wish)
    return chat(rng, f"{question} {wish}", answer)


def lists(rng: random.Random) -> Sample:
    """Lists of countries, colors and days as JSON arrays."""
    count = rng.choice((2, 3, 3, 3, 4))
    number = str(count) if rng.random() < 0.6 else NUMBER_WORDS[count]
    form = spin(rng, "{in|as|in the|using} JSON{| format}")
    if rng.random() < 0.6:
        region = rng.choice(list(LISTED)[:5]) if rng.random() < 0.3 else ""
        names = [BY_NAME[name] for name in LISTED[region]] if region else POPULAR
        kind = f"{ADJECTIVE[region]} countries" if region else "countries"
        chosen = window(rng, names, count)
        question = ask(
            rng,
            "{List|Give me|Name|Show me|Write} $n $k {and|with} their capitals $f.",
            n=number,
            k=kind,
            f=form,
        )
        return chat(
            rng, question, dump([{"country": c.name, "capital": c.capital} for c in chosen])
        )
    name, items = rng.choice(
        (
            ("colors", ["red", "green", "blue", "yellow"]),
            ("fruits", ["apple", "banana", "orange", "grape"]),
            ("animals", ["cat", "dog", "horse", "cow"]),
            ("cities", ["Paris", "London", "Tokyo", "Rome"]),
            ("days", ["Monday", "Tuesday", "Wednesday", "Thursday"]),
            ("numbers", [1, 2, 3, 4]),
            ("planets", ["Mercury", "Venus", "Earth", "Mars"]),
        )
    )
    question = ask(rng, "{List|Give me|Name|Show me|Write} $n $k $f.", n=number, k=name, f=form)
    return chat(rng, question, dump({name: items[:count]}))


_CITY_KEYS = ("city", "home", "town")
_JOBS = (
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
)


def person(rng: random.Random) -> Sample:
    """Facts of a sentence as an object: reading and copying."""
    name = rng.choice(PEOPLE) if rng.random() < 0.6 else made_up_word(rng, 2).capitalize()
    age, job = rng.randint(5, 90), rng.choice(_JOBS)
    city = rng.choice(POPULAR).capital if rng.random() < 0.7 else made_up_word(rng, 3).capitalize()
    facts: dict[str, Any] = {"name": name}
    kind = rng.randrange(4)
    if kind == 0:
        text = spin(rng, "{$n is $a years old.|$n, $a years old.|$n is $a.}", n=name, a=age)
        facts["age"] = age
    elif kind == 1:
        text = spin(
            rng,
            "{$n is $a years old and lives in $c.|$n lives in $c and is $a years old.|"
            "$n, $a, from $c.}",
            n=name,
            a=age,
            c=city,
        )
        facts |= {"age": age, "city": city}
    elif kind == 2:
        text = spin(rng, "{$n is a $j.|$n works as a $j.}", n=name, j=job)
        facts["job"] = job
    else:
        text = spin(rng, "{$n is a $j in $c.|$n works as a $j in $c.}", n=name, j=job, c=city)
        facts |= {"job": job, "city": city}
    keys = joined(list(facts))
    question = spin(
        rng,
        "{Extract {the |}$k from this text as JSON: $t|Write this as JSON with {the |}keys $k: "
        "$t|$t Give me {the |}$k as JSON.|$t Write this as JSON.|Convert to JSON: $t|Make a JSON "
        "object {of|from} this: $t}",
        k=keys,
        t=text,
    )
    return chat(rng, question, dump(facts))


def sums(rng: random.Random) -> Sample:
    """A result as JSON."""
    item = arithmetic.problem(rng)
    return with_wish(rng, arithmetic.question(rng, item), dump({"result": item[3]}))


def tips(rng: random.Random) -> Sample:
    """Advice and a character as JSON."""
    if rng.random() < 0.5:
        question = ask(
            rng, "{Give me|List} {three|3} tips for staying healthy {in|as} JSON{| format}."
        )
        return chat(
            rng,
            question,
            dump({"tips": ["Eat a balanced diet", "Exercise regularly", "Sleep enough"]}),
        )
    question = ask(
        rng,
        "{Describe|Give me|Write|Create|Generate} a {fictional |}{person|character} "
        "{in|as} JSON{| format}.",
    )
    return chat(rng, question, dump({"name": "Mira", "age": 30, "job": "space explorer"}))


@cache
def _characters() -> list[dict[str, str]]:
    with (DATA / "characters.tsv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def character(rng: random.Random) -> Sample:
    """The Harry Potter form of the frontend page, as plain text."""
    row = rng.choice(_characters())
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


def plain_info(rng: random.Random) -> Sample:
    """The plain-text prompts of the structured-outputs page."""
    country = any_country(rng)
    roll = rng.random()
    if roll < 0.5:
        prompt = f"Here is the information of the capital of {country.the} in the JSON format.\n"
        return plain(prompt, info(country))
    question = spin(rng, rng.choice(INFO_QUESTIONS), country=country.the)
    return plain(question, ("\n" if roll < 0.75 else "") + info(country))
