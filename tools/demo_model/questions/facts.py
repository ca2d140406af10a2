"""Questions about facts: the oldest of the sets, looked at while the corpus grew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..corpus import arithmetic
from ..corpus.base import Message, turns
from ..corpus.geography import BY_NAME, COUNTRIES, LISTED
from ..corpus.wording import Speaker
from .items import (
    Item,
    exactly,
    has,
    number,
)

KNOWN = (
    "France",
    "Germany",
    "Japan",
    "Kenya",
    "Peru",
    "Canada",
    "Norway",
    "Vietnam",
    "Turkey",
    "Morocco",
    "Poland",
    "Australia",
    "Cuba",
    "Ukraine",
    "Ghana",
    "Chile",
    "Nepal",
    "Hungary",
    "Iraq",
    "Mongolia",
)
"""Countries of the items that go through a list: well known and less known ones."""


def user(category: str, text: str, check: Any, system: str = "") -> Item:
    """An item of one user message."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return Item(category, check, [*messages, {"role": "user", "content": text}])


def _capital(text: str, name: str) -> tuple[str, Any]:
    country = BY_NAME[name]
    return text.format(country=country.the, capital=country.capital), has(country.capital)


def geography() -> Iterator[Item]:
    """Capitals, countries, continents, languages, lists."""
    shapes: tuple[str, ...] = (
        "Which city serves as the capital of {country}?",
        "I'm trying to remember the capital of {country}. What is it?",
        "Could you name the city that is the capital of {country}?",
        "What would be the capital city of {country}?",
        "For a quiz: the capital of {country} is which city?",
    )
    rng = Speaker(7)
    names = [*KNOWN, *(country.name for country in rng.sample(COUNTRIES, 20))]
    for i, name in enumerate(names):
        yield user("capitals", *_capital(shapes[i % len(shapes)], name))
    shapes = (
        "Which nation's capital is {capital}?",
        "I know {capital} is a capital, but of which country?",
        "For which country is {capital} the capital city?",
        "What is the country with the capital {capital}?",
    )
    for i, name in enumerate(names[:20]):
        country = BY_NAME[name]
        question = shapes[i % len(shapes)].format(capital=country.capital)
        yield user("countries", question, has(country.name))
    for i, name in enumerate(KNOWN):
        country = BY_NAME[name]
        if i % 2:
            question = (
                f"Can you tell me which continent {country.the} is on?",
                f"{country.the} - which continent is that?",
            )[i // 2 % 2]
            yield user("continents, languages", question, has(country.continent))
        else:
            question = (
                f"Which language do the people of {country.the} speak?",
                f"Could you tell me what is spoken in {country.the}?",
            )[i // 2 % 2]
            yield user("continents, languages", question, has(country.language))
    for count, word in ((3, "3"), (3, "three"), (4, "four"), (5, "5"), (2, "two")):
        for shape in (
            "Can you give me a list of {n} countries with the capital of each one?",
            "I want to see {n} countries and their capital cities, please.",
        ):
            yield user("lists of countries", shape.format(n=word), _pairs(count, None))
    for region, adjective in (("Europe", "European"), ("Asia", "Asian"), ("Africa", "African")):
        yield user(
            "lists of countries",
            f"Please write {3} {adjective} countries and their capitals.",
            _pairs(3, region),
        )


def _pairs(count: int, region: str | None) -> Any:
    """The answer names ``count`` different countries with their own capitals."""

    def check(text: str) -> bool:
        found = [
            country
            for country in COUNTRIES
            if country.name in text
            and country.capital in text
            and (region is None or country.name in LISTED[region])
        ]
        lines = [line for line in text.splitlines() if line.strip()]
        return len(found) == count == len(lines)

    return check


def sums() -> Iterator[Item]:
    """Arithmetic in signs, words and stories, and with follow-ups."""
    rng = Speaker(11)
    shapes = (
        "What number is {e}?",
        "Can you tell me how much {e} is?",
        "{e} makes how much?",
        "Please work out {e} for me.",
        "I would like to know {e}.",
    )
    for i in range(30):
        item = arithmetic.problem(rng)
        question = shapes[i % len(shapes)].format(e=arithmetic.expression(rng, item))
        yield user("arithmetic", question, number(item[3]))
    for a, b in ((3, 4), (17, 25), (40, 8), (12, 31), (9, 9)):
        yield user(
            "word problems",
            f"There are {a} birds on a tree and {b} more arrive. How many "
            "birds are there in total?",
            number(a + b),
        )
        yield user(
            "word problems",
            f"Maria has {a + b} stamps and gives away {b}. How many stamps are left?",
            number(a),
        )
    for a, b in ((2, 6), (5, 7), (3, 9), (8, 4)):
        yield user(
            "word problems",
            f"There are {a} shelves with {b} books each. How many books are there?",
            number(a * b),
        )
    for a, b, c in ((7, 8, 5), (20, 13, 4), (50, 9, 10), (6, 6, 3), (31, 22, 7), (90, 5, 2)):
        opening = turns(f"What is {a} + {b}?", f"{a} + {b} = {a + b}")
        text = f"Please add {c} to the result."
        yield Item(
            "arithmetic follow-ups",
            number(a + b + c),
            [*opening, {"role": "user", "content": text}],
        )
        text = f"Good, and what is {b} + {c}?"
        yield Item(
            "arithmetic follow-ups", number(b + c), [*opening, {"role": "user", "content": text}]
        )


def copying() -> Iterator[Item]:
    """Repeating and reading."""
    for text in (
        "this is only a test",
        "the weather is nice",
        "blue elephants",
        "hello there friend",
        "zorkel",
        "my train leaves at nine",
        "pandora",
        "three small birds",
    ):
        yield user("copying", f"Say {text}", exactly(text))
    for text in ("we like tea", "nothing else matters", "vintoba", "cold water", "run the server"):
        yield user("copying", f"Please write '{text}'.", exactly(text))
    for who, other in (("Alice", "Bob"), ("Peter", "Nina"), ("Omar", "Grace")):
        text = f"{who} has a green bag. {other} has a red cup."
        yield user("reading", f"{text} What is the color of the cup?", has("red"))
        yield user("reading", f"{text} Which person has the bag?", has(who))
        yield user("reading", f"{text} Tell me who has the cup.", has(other))
        yield user(
            "reading",
            f"{who} is 31 years old. {other} is 58 years old. What is the age of {who}?",
            has("31"),
        )


_ME = has("demo model")


def identity() -> Iterator[Item]:
    """Who the model is, small talk, and honesty about its limits."""
    for text in (
        "Introduce yourself in two short sentences.",
        "Would you introduce yourself?",
        "Please tell me who you are.",
        "I would like to know who you are.",
        "Which model are you?",
        "Can you tell me something about yourself?",
        "Who is answering me?",
        "Give me a short introduction of yourself, please.",
        "What is the name of this model?",
        "Tell me what you are.",
    ):
        yield user("identity", text, _ME, "You are a helpful assistant.")
    for text, part in (
        ("Hi, good morning to you!", "hello"),
        ("Hello, my friend!", "hello"),
        ("Thanks for the help!", "welcome"),
        ("Thank you for your answer.", "welcome"),
        ("Goodbye, see you soon!", "goodbye"),
        ("Hey you, how are you doing now?", "well"),
        ("What are the things you can do?", "capitals"),
        ("Tell me how you can help me.", "capitals"),
        ("Who was it that made you?", "script|trained"),
        ("How many parameters does this model have?", "million"),
    ):
        yield user("small talk", text, has(part))
    for text in (
        "Who invented the airplane?",
        "Explain the theory of evolution.",
        "What is the price of silver?",
        "How do I repair my bicycle?",
        "Who won the tennis match yesterday?",
        "Tell me about Charles Darwin.",
        "Write an essay about democracy.",
        "What is the best hotel in the city?",
        "How does a steam engine work?",
        "Tell me about Blorvik.",
        "What does the word flimzar mean?",
        "Which stock should I buy?",
    ):
        yield user("honest about limits", text, has("do not know"))


_KNOWLEDGE = (
    ("Can you explain what Python is?", "programming language"),
    ("Could you tell me what SGLang is?", "serving framework"),
    ("Please explain what a large language model is.", "predict the next word"),
    ("What exactly is a GPU?", "processor"),
    ("Can you name the days of the week?", "Monday, Tuesday, Wednesday"),
    ("Please list all months of the year.", "January, February, March"),
    ("What are the names of the four seasons?", "spring, summer"),
    ("How many hours are there in one day?", "24"),
    ("How many days are there in a week?", "7"),
    ("Please write the alphabet.", "A B C D E F"),
    ("What color does the sky have?", "blue"),
    ("Can you name the biggest planet?", "Jupiter"),
    ("Would you count from 1 to 10?", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
    ("At which temperature does water boil?", "100"),
    ("Do you know what JSON is?", "format"),
    ("What is meant by machine learning?", "examples"),
    ("Can you tell me the opposite of hot?", "cold"),
    ("What word is the opposite of big?", "small"),
    ("Which word means the opposite of day?", "night"),
    ("Please tell me the plural of mouse.", "mice"),
    ("Which word is the plural of child?", "children"),
    ("What sound do you hear from a cow? What sound does a cow make?", "moo"),
    ("Which day of the week comes after Monday?", "Tuesday"),
    ("Which month of the year comes after June?", "July"),
    ("What day comes right before Sunday?", "Saturday"),
)
_WRITING = (
    ("Please give me 3 tips for staying healthy.", "1. Eat|2. Exercise"),
    ("What are some good tips to stay healthy?", "Exercise regularly"),
    ("Could you give me three tips for a healthy life?", "Sleep"),
    ("Could you tell me a programming joke?", "programmers"),
    ("I would love to hear a joke about programming.", "programmers"),
    ("Please tell me a joke.", "scarecrow"),
    ("Could you write a short story about a space explorer?", "explorer|ship"),
    ("I want a story about a cat.", "Momo"),
    ("Please tell me a short story about a robot.", "robot"),
    ("Could you write a short poem?", "sun|sea"),
    ("Can you write a haiku for me?", "pond"),
    ("How can one write hello world in Python?", "print("),
    ("Please tell me a story about a dragon.", "dragon"),
    ("Write a little poem about the sea, please.", "sea"),
)


def knowledge() -> Iterator[Item]:
    """Facts, tips, jokes and stories."""
    for text, part in _KNOWLEDGE:
        yield user("simple knowledge", text, has(part))
    for text, part in _WRITING:
        yield user("writing", text, has(part))
