"""A third set of held-out questions, written while the last phase of training ran.

As with ``second.py``: do not add wordings to the corpus because a question here fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..corpus.base import turns
from ..corpus.functions import call_message
from ..corpus.toolbox import documented_weather_tool
from .facts import user
from .items import Item, both, calls, exactly, has, json_equals, no_call, number

_QUESTIONS = (
    ("Where does the government of Portugal sit? I mean its capital.", "Lisbon"),
    ("Capital city, Argentina, go!", "Buenos Aires"),
    ("Somebody asked me for the capital of Finland. Can you help?", "Helsinki"),
    ("If I travel to Austria, which language will I hear?", "German"),
    ("Is Peru found in South America or in Africa?", "South America"),
    ("Can you count the hours of a day for me? How many hours has a day?", "24"),
    ("Tell me the antonym of the word cold, please.", "hot"),
    ("More than one tooth are called what? The plural of tooth?", "teeth"),
    ("I have never heard of SGLang. What is it?", "serving framework"),
    ("A short joke would be nice, please.", "scarecrow|programmers"),
    ("Would you tell me a little story with a cat in it?", "Momo"),
)
_TALK = (
    ("Hiya! Anyone home?", "help|ready"),
    ("A very good afternoon to you, little model.", "hello"),
    ("How has your week been?", "well"),
    ("Wonderful, thank you kindly!", "welcome"),
    ("OK, I am off now. Goodbye!", "goodbye"),
    ("Which model do I have the pleasure of talking to?", "demo model"),
    ("How does one train for a marathon?", "do not know"),
    ("Who was the first person on the moon?", "do not know"),
    ("What is a frabbelzock?", "do not know"),
    ("Bonjour, quelle est la capitale du Japon ?", "Tokyo"),
    ("Guten Morgen, wer bist du eigentlich?", "demomodell"),
)
_SUMS = (
    ("Add 13 and 24 for me, would you?", 37), ("Quick: 9 times 4!", 36),
    ("If you take 18 away from 50, what is left?", 32),
    ("Ten birds sit on a wire and 3 fly off. How many birds still sit there? 10 - 3?", 7),
)  # fmt: skip


def third() -> Iterator[Item]:
    """All items of the third set."""
    for question, part in _QUESTIONS:
        yield user("third: facts", question, has(part))
    for question, part in _TALK:
        yield user("third: talk", question, has(part))
    for question, result in _SUMS:
        yield user("third: arithmetic", question, number(result))
    for question, text in (
        ("Please say the kettle is whistling", "the kettle is whistling"),
        ("Say seven purple umbrellas", "seven purple umbrellas"),
        ("Write down exactly this: my aunt sells old maps", "my aunt sells old maps"),
        ("Repeat the name Torvalen", "Torvalen"),
        ('Can you say "tomatoes are cheap on Monday"?', "tomatoes are cheap on Monday"),
    ):
        yield user("third: copying", question, exactly(text))
    text = "Hector drives a silver van. Monica rides a blue bicycle."
    yield user("third: reading", f"{text} Who rides the bicycle?", has("Monica"))
    yield user("third: reading", f"{text} What is the color of the van?", has("silver"))
    text = "The scissors are in the drawer. The tape is on the desk."
    yield user("third: reading", f"{text} Where is the tape?", has("desk"))
    text = "Philip is 23 and his sister Agnes is 37."
    yield user("third: reading", f"{text} How old is Agnes?", has("37"))
    opening = turns("Good morning, I am Robert.", "Nice to meet you, Robert!")
    question = "Have you kept my name in mind? What was it?"
    yield Item("third: dialogue", has("Robert"), [*opening, {"role": "user", "content": question}])
    opening = turns("What is the capital of Poland?", "The capital of Poland is Warsaw.")
    question = "Now the same for Denmark."
    found = has("Copenhagen")
    yield Item("third: dialogue", found, [*opening, {"role": "user", "content": question}])
    yield user("third: JSON", "I'd like name and population of Japan's capital as JSON, please.",
               json_equals({"name": "Tokyo", "population": 14000000}))  # fmt: skip
    yield user("third: JSON", "As JSON with name and age: Felix is 52 years old.",
               json_equals({"name": "Felix", "age": 52}))  # fmt: skip
    yield from _tools()


def _tools() -> Iterator[Item]:
    weather = [documented_weather_tool()]
    for parser in ("llama3", "qwen25", "mistral"):
        expected = {"city": "Phoenix", "state": "AZ", "unit": "celsius"}
        question = "What will I feel outside in Phoenix, AZ, weather-wise? In celsius, please."
        yield Item("third: tools", calls(parser, "get_current_weather", expected),
                   [{"role": "user", "content": question}], weather, parser)  # fmt: skip
    question = "Good evening, what is the capital of Hungary?"
    yield Item("third: tools", both(no_call, has("Budapest")),
               [{"role": "user", "content": question}], weather)  # fmt: skip
    arguments = {"city": "Tampa", "state": "FL", "unit": "fahrenheit"}
    for wish, reply in (
        (" Please answer in the format: Tampa news:{function call result}", "Tampa news:"),
        ("", "Tampa"),
    ):
        said = "Tampa, FL: 88 degrees, a warm breeze and no rain."
        yield Item(
            "third: tools",
            has(reply, "88", "breeze"),
            [
                {"role": "user", "content": f"How is Tampa today?{wish}"},
                call_message("get_current_weather", arguments),
                {"role": "tool", "content": said, "name": "get_current_weather"},
            ],
            weather,
        )
    facts = json.dumps({"temperature": 64, "wind": 12})
    yield Item(
        "third: tools",
        has("64", "12"),
        [
            {"role": "user", "content": "What is it like in Tampa now?"},
            call_message("get_current_weather", arguments),
            {"role": "tool", "content": facts, "name": "get_current_weather"},
        ],
        weather,
    )
