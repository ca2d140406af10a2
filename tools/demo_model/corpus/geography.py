"""Countries, capitals, continents and languages."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from .base import Exchange, Sample, chat, in_words, numbered
from .wording import DATA, Speaker, ask, capitalized, phrase


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

    @property
    def verb(self) -> str:
        """``is``, or ``are`` for names in the plural."""
        plural = self.name.endswith(("States", "Emirates", "Netherlands", "Philippines"))
        return "are" if plural else "is"

    def asked(self, rng: Speaker) -> str:
        """The name as a user may write it."""
        if rng.random() < 0.25 and self.name in _ALIASES:
            return rng.choice(_ALIASES[self.name])
        return self.name if rng.random() < 0.1 else self.the


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


_ALIASES = {
    "United States": ("the USA", "the US", "America", "USA"),
    "United Kingdom": ("the UK", "Great Britain", "UK", "Britain"),
    "Netherlands": ("Holland",),
    "Czech Republic": ("Czechia",),
    "Ivory Coast": ("Ivory Coast",),
    "United Arab Emirates": ("the UAE",),
    "Myanmar": ("Burma",),
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


def any_country(rng: Speaker) -> Country:
    """A country; the well-known ones come up more often, as they do in real questions."""
    return rng.choice(POPULAR if rng.random() < 0.25 else COUNTRIES)


def capital(rng: Speaker) -> Exchange:
    """Country to capital."""
    country = any_country(rng)
    return ask(rng, "geography/capital", c=country.asked(rng)), country.sentence


def reverse(rng: Speaker) -> Exchange:
    """Capital to country."""
    country = any_country(rng)
    question = ask(rng, "geography/reverse", city=country.capital)
    return question, f"{country.capital} is the capital of {country.the}."


def in_continent(country: Country) -> str:
    """The answer to all questions about the continent."""
    return f"{capitalized(country.the)} {country.verb} in {country.continent}."


def main_language(country: Country) -> str:
    """The answer to all questions about the language."""
    return f"The main language of {country.the} is {country.language}."


def inhabitants(country: Country) -> str:
    """The answer to all questions about the population of a capital."""
    return f"{country.capital} has about {country.population} people."


def continent(rng: Speaker) -> Exchange:
    """Country to continent."""
    country = any_country(rng)
    return ask(rng, "geography/continent", c=country.asked(rng)), in_continent(country)


def language(rng: Speaker) -> Exchange:
    """Country to language."""
    country = any_country(rng)
    return ask(rng, "geography/language", c=country.asked(rng)), main_language(country)


def population(rng: Speaker) -> Exchange:
    """The population of a capital."""
    country = any_country(rng)
    return ask(rng, "geography/population", city=country.capital), inhabitants(country)


def check(rng: Speaker) -> Exchange:
    """Yes-or-no questions about capitals."""
    country, other = any_country(rng), any_country(rng)
    claimed = country.capital if rng.random() < 0.5 else other.capital
    question = ask(rng, "geography/check", city=claimed, c=country.the)
    if claimed == country.capital:
        return question, f"Yes, {country.capital} is the capital of {country.the}."
    return question, f"No, the capital of {country.the} is {country.capital.rstrip('.')}."


def choose_countries(rng: Speaker) -> tuple[str, str, list[Country]]:
    """How many, what kind, and the countries: always the first ones of a fixed list."""
    count = rng.choice((2, 3, 3, 3, 4, 5, 6))
    number = str(count) if rng.random() < 0.55 else in_words(count)
    if rng.random() < 0.5:
        kind = rng.choice(("countries", "countries", "countries", "nations", "countries of the "
                           "world", "different countries", "states"))  # fmt: skip
        return number, kind, POPULAR[:count]
    region = rng.choice(CONTINENTS[:5])
    kinds = (f"{ADJECTIVE[region]} countries", f"countries in {region}", f"countries of {region}",
             f"countries from {region}")  # fmt: skip
    return number, rng.choice(kinds), [BY_NAME[name] for name in LISTED[region][:count]]


def list_countries(rng: Speaker) -> Exchange:
    """``List 3 countries and their capitals.`` and its relatives."""
    number, kind, chosen = choose_countries(rng)
    if rng.random() < 0.8:
        question = ask(rng, "geography/countries", n=number, k=kind)
        return question, numbered([f"{c.name} - {c.capital}" for c in chosen])
    question = ask(rng, "geography/countries_only", n=number, k=kind)
    return question, numbered([c.name for c in chosen])


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


def attractions(rng: Speaker) -> Sample:
    """``List two local attractions.`` after a capital, or asked directly."""
    country = rng.choice([c for c in COUNTRIES if c.capital in ATTRACTIONS])
    count = rng.choice((2, 2, 3, 1))
    number = in_words(count) if rng.random() < 0.7 else str(count)
    noun = "attraction" if count == 1 else "attractions"
    places = ATTRACTIONS[country.capital][:count]
    answer = numbered([capitalized(place) for place in places])
    if rng.random() < 0.3:
        question = ask(rng, "geography/city_attractions", n=number, a=noun, city=country.capital)
        return chat(rng, question, answer)
    opening = ask(rng, "geography/capital", c=country.the)
    question = phrase(rng, "geography/attractions", n=number, a=noun)
    return chat(rng, opening, country.sentence, question, answer)


def city(rng: Speaker) -> Exchange:
    """A short description of a well-known city."""
    name = rng.choice(list(CITY_TEXT))
    return ask(rng, "geography/city", city=name), CITY_TEXT[name]
