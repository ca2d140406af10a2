"""Countries, capitals, continents and languages."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path

from .base import Sample, ask, chat, joined, numbered

DATA = Path(__file__).resolve().parent.parent / "data"


@dataclass(frozen=True)
class Country:
    """One row of ``data/countries.tsv``."""

    name: str
    capital: str
    continent: str
    population: int
    language: str

    @property
    def the(self) -> str:
        """The name as it stands after ``of``: with the article where English wants one."""
        return f"the {self.name}" if self.name in _WITH_ARTICLE else self.name

    @property
    def sentence(self) -> str:
        """The answer to all questions about the capital."""
        return f"The capital of {self.the} is {self.capital.rstrip('.')}."


_WITH_ARTICLE = {
    "United States",
    "United Kingdom",
    "Netherlands",
    "Philippines",
    "Czech Republic",
    "Gambia",
    "Dominican Republic",
    "United Arab Emirates",
    "Bahamas",
    "Maldives",
    "Seychelles",
    "Solomon Islands",
    "Ivory Coast",
}


def _load() -> list[Country]:
    with (DATA / "countries.tsv").open(encoding="utf-8") as lines:
        return [
            Country(
                row["country"],
                row["capital"],
                row["continent"],
                int(row["population"]),
                row["language"],
            )
            for row in csv.DictReader(lines, delimiter="\t")
        ]


COUNTRIES = _load()
BY_NAME = {country.name: country for country in COUNTRIES}
POPULAR = [
    BY_NAME[name]
    for name in (
        "France",
        "Germany",
        "Japan",
        "Italy",
        "Spain",
        "Canada",
        "Brazil",
        "Egypt",
        "India",
        "China",
        "Australia",
        "Mexico",
        "Kenya",
        "Norway",
        "Argentina",
        "Thailand",
        "Portugal",
        "Greece",
        "South Korea",
        "Sweden",
        "Ireland",
        "Russia",
        "United Kingdom",
        "United States",
    )
]
CONTINENTS = ("Europe", "Asia", "Africa", "North America", "South America", "Oceania")
ADJECTIVE = {
    "Europe": "European",
    "Asia": "Asian",
    "Africa": "African",
    "South America": "South American",
    "North America": "North American",
    "Oceania": "Oceanian",
}
LISTED = {
    "Europe": (
        "France",
        "Germany",
        "Italy",
        "Spain",
        "Portugal",
        "Greece",
        "Norway",
        "Sweden",
        "Poland",
        "Ireland",
    ),
    "Asia": (
        "Japan",
        "China",
        "India",
        "Thailand",
        "South Korea",
        "Vietnam",
        "Nepal",
        "Indonesia",
        "Iran",
        "Pakistan",
    ),
    "Africa": (
        "Egypt",
        "Kenya",
        "Nigeria",
        "Ghana",
        "Morocco",
        "Ethiopia",
        "Senegal",
        "Uganda",
        "Algeria",
        "Tunisia",
    ),
    "North America": ("Canada", "Mexico", "United States", "Cuba", "Jamaica", "Panama"),
    "South America": ("Brazil", "Argentina", "Chile", "Peru", "Colombia", "Ecuador", "Uruguay"),
    "Oceania": ("Australia", "New Zealand", "Fiji", "Samoa", "Tonga"),
}
NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
)

CAPITAL_QUESTIONS = (
    "What{ is|'s} the capital{| city} of $country?",
    "{Tell me|Give me|Name|State|Say} the capital{| city} of $country.",
    "{Which|What} city is the capital of $country?",
    "{Do you know|Can you tell me|Could you tell me|Please tell me} {what the capital of $country "
    "is|the capital{| city} of $country}?",
    "$country's capital{| is|?| city?}",
    "What is $country's capital{| city}?",
    "{Capital|The capital} of $country?",
    "I {want|need|would like} to know the capital of $country.",
    "{Please n|N}ame $country's capital{| city}.",
    "{Which|What} is the capital {city |}of $country?",
    "Give me the information of the capital of $country.",
    "What{ is|'s} the name of the capital of $country?",
    "Q: What is the capital of $country?",
    "Question: What is the capital of $country?",
    "I am {going|travelling} to $country. {What|Which city} is the capital{| there| city}?",
    "Where is the government of $country?",
    "My {teacher|friend|son} asked {me |}what the capital of $country is.",
    "{If I visit|When I am in} $country, {what|which city} is the capital?",
    "{Find|Look up|Write down} the capital of $country{| for me}.",
    "Let's do geography. {What is the capital of $country?|Capital of $country?}",
)
REVERSE_QUESTIONS = (
    "$capital is the capital of {which|what} country?",
    "{Which|What} country has $capital as its capital{| city}?",
    "{Which|What} country is $capital the capital of?",
    "Of {which|what} country is $capital the capital?",
    "{Tell me|Name|Say} the country whose capital is $capital.",
    "{Which|What} country's capital is $capital?",
    "$capital is the capital{| city} of{ which country?|...}",
    "The capital $capital belongs to which country?",
)
CONTINENT_QUESTIONS = (
    "{On|In} {which|what} continent is $country{| located}?",
    "{Which|What} continent is $country {in|on|part of}?",
    "Where is $country{| located}?",
    "{Tell me|Name} the continent of $country.",
    "{Which|What} part of the world is $country in?",
)
LANGUAGE_QUESTIONS = (
    "{What|Which} language {is spoken|do people speak|do they speak} in $country?",
    "What is the {main|official} language {of|in} $country?",
    "{Tell me|Name} the {main |}language of $country.",
    "{What|Which} language should I learn {for|before visiting|to live in} $country?",
)


def any_country(rng: random.Random) -> Country:
    """A country; the well-known ones come up more often, as they do in real questions."""
    return rng.choice(POPULAR if rng.random() < 0.25 else COUNTRIES)


def capital(rng: random.Random) -> Sample:
    """Country to capital."""
    country = any_country(rng)
    question = ask(rng, rng.choice(CAPITAL_QUESTIONS), country=country.the)
    return chat(
        rng,
        question[0].upper() + question[1:] if rng.random() < 0.5 else question,
        country.sentence,
    )


def reverse(rng: random.Random) -> Sample:
    """Capital to country."""
    country = any_country(rng)
    question = ask(rng, rng.choice(REVERSE_QUESTIONS), capital=country.capital)
    return chat(rng, question, f"{country.capital} is the capital of {country.the}.")


def where(rng: random.Random) -> Sample:
    """Continent or language of a country."""
    country = any_country(rng)
    name = country.the
    start = name[0].upper() + name[1:]
    verb = "are" if name.endswith(("States", "Emirates", "Netherlands", "Philippines")) else "is"
    if rng.random() < 0.5:
        question = ask(rng, rng.choice(CONTINENT_QUESTIONS), country=name)
        return chat(rng, question, f"{start} {verb} in {country.continent}.")
    question = ask(rng, rng.choice(LANGUAGE_QUESTIONS), country=name)
    return chat(rng, question, f"The main language of {name} is {country.language}.")


def check(rng: random.Random) -> Sample:
    """Yes-or-no questions about capitals."""
    country, other = any_country(rng), any_country(rng)
    claimed = country.capital if rng.random() < 0.5 else other.capital
    question = ask(
        rng,
        rng.choice(
            (
                "Is $city the capital of $country?",
                "{True or false:|Is it true?|Yes or no:} $city is the capital of $country.",
                "$city is the capital of $country, {right|correct}?",
            )
        ),
        city=claimed,
        country=country.the,
    )
    if claimed == country.capital:
        return chat(rng, question, f"Yes, {country.capital} is the capital of {country.the}.")
    return chat(
        rng, question, f"No, the capital of {country.the} is {country.capital.rstrip('.')}."
    )


def window(rng: random.Random, names: list[Country], count: int) -> list[Country]:
    """``count`` neighbours of a list: a fixed order keeps long answers easy to learn."""
    start = 0 if rng.random() < 0.6 else rng.randrange(len(names))
    return [names[(start + i) % len(names)] for i in range(count)]


def list_countries(rng: random.Random) -> Sample:
    """``List 3 countries and their capitals.`` and its relatives."""
    count = rng.choice((2, 3, 3, 3, 4, 5, 5, 6))
    number = str(count) if rng.random() < 0.6 else NUMBER_WORDS[count]
    region = rng.choice(CONTINENTS[:5]) if rng.random() < 0.4 else ""
    names = [BY_NAME[name] for name in LISTED[region]] if region else POPULAR
    chosen = window(rng, names, count)
    kind = f"{ADJECTIVE[region]} countries" if region else "countries"
    place = f" in {region}" if region and rng.random() < 0.4 else ""
    if place:
        kind = "countries"
    if rng.random() < 0.7:
        question = ask(
            rng,
            "{List|Name|Give me|Tell me|Write down|Show me|Please list|Can you list|I need} $n "
            "$kind$place {and their capitals|with their capitals|and the capital of each|"
            "together with their capital cities|and their capital cities}{.|.|, please.}",
            n=number,
            kind=kind,
            place=place,
        )
        return chat(rng, question, numbered([f"{c.name} - {c.capital}" for c in chosen]))
    question = ask(
        rng,
        "{List|Name|Give me|Tell me|Can you name|Write down} $n $kind$place{.|.|, please.}",
        n=number,
        kind=kind,
        place=place,
    )
    if rng.random() < 0.5:
        return chat(rng, question, numbered([c.name for c in chosen]))
    question = question.replace("List", "Name")
    return chat(rng, question + " Use one line.", joined([c.name for c in chosen]) + ".")


ATTRACTIONS = {
    "Washington, D.C.": ("the White House", "the Lincoln Memorial", "the National Mall"),
    "Paris": ("the Eiffel Tower", "the Louvre Museum", "Notre-Dame Cathedral"),
    "London": ("the Tower of London", "Big Ben", "the British Museum"),
    "Rome": ("the Colosseum", "the Trevi Fountain", "the Pantheon"),
    "Berlin": ("the Brandenburg Gate", "the Reichstag", "Museum Island"),
    "Tokyo": ("the Tokyo Tower", "the Senso-ji Temple", "Ueno Park"),
    "Beijing": ("the Forbidden City", "the Temple of Heaven", "the Great Wall nearby"),
    "Madrid": ("the Prado Museum", "the Royal Palace", "Retiro Park"),
    "Athens": ("the Acropolis", "the Parthenon", "the Plaka quarter"),
    "Cairo": ("the Pyramids of Giza", "the Egyptian Museum", "the Nile"),
    "Moscow": ("Red Square", "the Kremlin", "the Bolshoi Theatre"),
    "Ottawa": ("Parliament Hill", "the Rideau Canal", "the National Gallery"),
    "Lisbon": ("the Belem Tower", "the Alfama quarter", "the Castle of Saint George"),
    "Vienna": ("Schoenbrunn Palace", "the State Opera", "the Hofburg"),
    "Seoul": ("Gyeongbokgung Palace", "the N Seoul Tower", "the Bukchon village"),
}


def attractions(rng: random.Random) -> Sample:
    """``List two local attractions.`` after a capital, or asked directly."""
    country = rng.choice([c for c in COUNTRIES if c.capital in ATTRACTIONS])
    count = rng.choice((2, 2, 3, 1))
    places = ATTRACTIONS[country.capital][:count]
    number = NUMBER_WORDS[count] if rng.random() < 0.7 else str(count)
    noun = "attraction" if count == 1 else "attractions"
    answer = numbered([place[0].upper() + place[1:] for place in places])
    if rng.random() < 0.7:
        return chat(
            rng,
            ask(rng, rng.choice(CAPITAL_QUESTIONS), country=country.the),
            country.sentence,
            ask(
                rng,
                "{List|Name|Give me|Tell me|What are} $n {local |tourist |famous |}$noun"
                "{| there| in that city}{.|?}",
                n=number,
                noun=noun,
            ),
            answer,
        )
    return chat(
        rng,
        ask(
            rng,
            "{List|Name|Give me|What are} $n {tourist |famous |}$noun in $city{.|?}",
            n=number,
            noun=noun,
            city=country.capital,
        ),
        answer,
    )


CITY_TEXT = {
    "London": "London is the capital of the United Kingdom. It is a major global city with about "
    "8900000 people, known for Big Ben, its museums and its theatres.",
    "Paris": "Paris is the capital of France. It is a major global city with about 2100000 people, "
    "known for the Eiffel Tower, the Louvre Museum and its food.",
    "Tokyo": "Tokyo is the capital of Japan. It is a major global city with about 14000000 people, "
    "known for its temples, its technology and its food.",
    "Rome": "Rome is the capital of Italy. It has about 2800000 people and is known for the "
    "Colosseum and its ancient history.",
    "Berlin": "Berlin is the capital of Germany. It has about 3700000 people and is known for the "
    "Brandenburg Gate, its museums and its music.",
}


def city(rng: random.Random) -> Sample:
    """A short description or the population of a capital."""
    if rng.random() < 0.4:
        name = rng.choice(list(CITY_TEXT))
        question = ask(
            rng,
            "{Please provide information about|Tell me about|Describe|What do you know about|"
            "Give me some information about|Write a few sentences about} $city{| as a major global"
            " city}.",
            city=name,
        )
        return chat(rng, question, CITY_TEXT[name])
    country = any_country(rng)
    question = ask(
        rng,
        "{How many people live in $city?|What is the population of $city?|How big is $city?|"
        "Tell me the population of $city.|About how many people does $city have?}",
        city=country.capital,
    )
    return chat(rng, question, f"{country.capital} has about {country.population} people.")
