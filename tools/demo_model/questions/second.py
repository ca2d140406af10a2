"""A second set of held-out questions, written when the training was over.

The questions of ``facts.py`` and ``skills.py`` were looked at while the corpus grew; these were
not.  Do not add wordings to the corpus because a question here fails.
"""

# ruff: noqa: RUF001 -- these characters are meant

from __future__ import annotations

from collections.abc import Iterator

from ..corpus.base import turns
from ..corpus.geography import BY_NAME
from ..corpus.toolbox import documented_weather_tool
from .facts import user
from .items import Item, both, calls, exactly, has, is_json, json_equals, no_call, number

_CAPITALS = (
    "Do you happen to know the capital of {c}?", "I need the name of {c}'s capital city.",
    "My quiz asks for the capital of {c}. Which city?", "{c}: what is its capital?",
)  # fmt: skip
_NAMES = ("Italy", "Egypt", "Sweden", "Thailand", "Uganda", "Mexico", "Bulgaria", "Qatar")
_QUESTIONS = (
    ("Madrid is the capital of which nation?", "Spain"),
    ("Tell me, which country is governed from Oslo, its capital?", "Norway"),
    ("What do people speak in Brazil, which language?", "Portuguese"),
    ("Kenya lies in which continent?", "Africa"),
    ("Introduce yourself briefly, please.", "demo model"),
    ("And who might you be?", "demo model"),
    ("What is it that you are able to do?", "capitals"),
    ("Thanks, that was helpful!", "welcome"),
    ("Bye for now!", "goodbye"),
    ("Who discovered America?", "do not know"),
    ("Give me the history of Japan.", "do not know"),
    ("How do I cook rice?", "do not know"),
    ("Explain Python to me in one sentence.", "programming language"),
    ("What would you say a large language model is?", "predict"),
    ("Name all days of the week.", "Monday, Tuesday"),
    ("What's the opposite of fast?", "slow"),
    ("Give the plural of foot.", "feet"),
    ("How many minutes are there in one hour?", "60"),
    ("Which planet is the largest one?", "Jupiter"),
    ("I'd like three tips on how to stay healthy.", "Exercise"),
    ("Got a joke about programmers?", "programmers"),
    ("Let me hear a short story about a robot.", "robot"),
    ("Write a poem about the ocean for me.", "sea"),
    ("用中文介绍一下你自己。", "演示模型"),
    ("中国的首都在哪里？", "北京"),
    ("Quelle est la capitale de l'Italie, s'il vous plaît ?", "Rome"),
    ("¿Cuál es la capital de Francia, por favor?", "París"),
    ("Wie heißt die Hauptstadt von Österreich, bitte?", "Wien"),
)  # fmt: skip
_SUMS = (
    ("What does 8 plus 6 make?", 14), ("Tell me the sum 21 + 34.", 55), ("67-22, what is it?", 45),
    ("How much do 7 times 6 make?", 42), ("What do I get if I divide 48 by 6?", 8),
    ("I had 15 apples and ate 4. How many do I have left?", 11),
    ("A box holds 6 eggs. How many eggs are in 4 boxes?", 24), ("99 minus 33?", 66),
)  # fmt: skip


def second() -> Iterator[Item]:
    """All items of the second set."""
    for i, name in enumerate(_NAMES):
        country = BY_NAME[name]
        question = _CAPITALS[i % len(_CAPITALS)].format(c=country.the)
        yield user("blind: facts and talk", question, has(country.capital))
    for question, part in _QUESTIONS:
        yield user("blind: facts and talk", question, has(part))
    for question, result in _SUMS:
        yield user("blind: arithmetic", question, number(result))
    for text in ("good evening everyone", "the bus is late", "kolpi", "red and blue"):
        yield user("blind: copying and reading", f"Just say: {text}", exactly(text))
    text = "Laura owns a black dog. Victor owns a white horse."
    yield user("blind: copying and reading", f"{text} Who owns the horse?", has("Victor"))
    yield user("blind: copying and reading", f"{text} What color is the dog?", has("black"))
    opening = turns("Hi! I'm called Marta.", "Nice to meet you, Marta!")
    yield Item("blind: dialogue", has("Marta"),
               [*opening, {"role": "user", "content": "So what is my name?"}])  # fmt: skip
    opening = turns("What is the capital of Spain?", "The capital of Spain is Madrid.")
    for question, part in (("Which one does Greece have?", "Athens"),
                           ("What language is spoken in that country?", "Spanish")):  # fmt: skip
        yield Item("blind: dialogue", has(part), [*opening, {"role": "user", "content": question}])
    for system, question, check in (("Your name is Pixel.", "What are you called?", has("Pixel")),):
        yield user("blind: dialogue", question, check, system)
    yield user("blind: JSON", "Give the capital of Norway in JSON, with name and population.",
               json_equals({"name": "Oslo", "population": 710000}))  # fmt: skip
    yield user("blind: JSON", "In JSON format, give me the information about the capital of Italy.",
               json_equals({"name": "Rome", "population": 2800000}))  # fmt: skip
    yield user("blind: JSON", "What is 4 + 5? Output JSON.", is_json(lambda v: v["result"] == 9))
    yield user("blind: JSON", "Turn this into JSON: Nina is 44 years old.",
               json_equals({"name": "Nina", "age": 44}))  # fmt: skip
    weather = [documented_weather_tool()]
    for parser in ("llama3", "qwen25", "mistral"):
        for question, city, state, unit in (
            ("Weather in Chicago right now, please?", "Chicago", "IL", "fahrenheit"),
            ("I'm in Seattle. What's the weather, in celsius?", "Seattle", "WA", "celsius"),
            ("Let me know how the weather is in Denver, CO.", "Denver", "CO", "fahrenheit"),
        ):
            expected = {"city": city, "state": state, "unit": unit}
            yield Item("blind: tools", calls(parser, "get_current_weather", expected),
                       [{"role": "user", "content": question}], weather, parser)  # fmt: skip
        yield Item("blind: tools", both(no_call, has("Paris")),
                   [{"role": "user", "content": "Do you happen to know the capital of France?"}],
                   weather, parser)  # fmt: skip
