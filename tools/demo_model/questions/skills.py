"""Held-out items for skills: dialogue, languages, JSON, tools, plain text."""

# ruff: noqa: RUF001 -- these characters are meant

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from ..corpus.base import Tool, turns
from ..corpus.functions import call_message
from ..corpus.geography import BY_NAME
from ..corpus.languages import translations
from ..corpus.toolbox import US_CITIES, documented_weather_tool
from .facts import KNOWN, user
from .items import (
    Item,
    both,
    calls,
    exactly,
    has,
    has_not,
    is_json,
    json_equals,
    no_call,
)


def dialogues() -> Iterator[Item]:
    """Follow-ups, memory, personas, names and styles."""
    shapes = (
        "And what is the capital of {c}?",
        "Good. What about {c}, please?",
        "Then {c}?",
        "OK. Now {c}, please.",
    )
    for i, name in enumerate(KNOWN[:12]):
        first, then = BY_NAME[KNOWN[-1 - i]], BY_NAME[name]
        opening = turns(f"Which city serves as the capital of {first.the}?", first.sentence)
        text = shapes[i % len(shapes)].format(c=then.the)
        yield Item("follow-ups", has(then.capital), [*opening, {"role": "user", "content": text}])
    opening = turns(
        "What is the capital of the United States?",
        "The capital of the United States is Washington, D.C.",
    )
    for text in (
        "Please list two local attractions.",
        "Name two famous attractions there, please.",
    ):
        yield Item(
            "follow-ups",
            has("White House", "Lincoln"),
            [*opening, {"role": "user", "content": text}],
        )
    for name in ("Daniel", "Sofia", "Zelbo", "Mikal", "Frank", "Yuki"):
        opening = turns(f"Hello there, my name is {name}.", f"Nice to meet you, {name}!")
        for text in ("Tell me, what is my name?", "Can you remember my name?"):
            yield Item("memory", has(name), [*opening, {"role": "user", "content": text}])
    opening = turns(
        "My favorite color is green.", "Green is a nice color!", "What is 2 + 2?", "2 + 2 = 4"
    )
    yield Item(
        "memory",
        has("green"),
        [*opening, {"role": "user", "content": "Tell me, what is my favorite color?"}],
    )
    for system, mark in (
        ("You are a pirate who loves the sea.", "arrr"),
        ("Please talk like a pirate.", "arrr"),
        ("You are a funny cat.", "meow"),
        ("You are an old cowboy from Texas.", "howdy"),
        ("You are a friendly robot.", "beep"),
    ):
        yield user(
            "personas", "Could you name the capital city of Japan?", has(mark, "Tokyo"), system
        )
        yield user("personas", "What is 5 + 4?", has(mark, "9"), system)
    for name in ("Luna", "Rufus", "Tamo", "Clara", "Bender"):
        yield user(
            "names", "Hello! What is your name?", has(name), f"You are {name}, a helpful bot."
        )
        yield user(
            "names", "Please tell me your name.", has(name), f"Your name is {name}. Be nice."
        )
    for i, name in enumerate(KNOWN[:8]):
        country = BY_NAME[name]
        wish = ("Use only one word for the answer.", "Please reply in just one word.")[i % 2]
        yield user(
            "one word", f"What is the capital of {country.the}? {wish}", exactly(country.capital)
        )
    historian = "You are a knowledgeable historian who gives concise responses."
    for text, part in (
        ("What did they achieve? What were their main achievements?", "roads"),
        ("Please tell me their major achievements.", "roads"),
        ("And when did it fall?", "476"),
        ("Who was the first emperor?", "Augustus"),
        ("And which language was spoken?", "Latin"),
    ):
        opening = turns(
            "Tell me about ancient Rome", "Ancient Rome was a civilization centered in Italy."
        )
        yield Item(
            "historian",
            has(part),
            [{"role": "system", "content": historian}, *opening, {"role": "user", "content": text}],
        )
    for text in ("Tell me about ancient Rome, please.", "What can you tell me about ancient Rome?"):
        yield user("historian", text, has("civilization", "Italy"), historian)


def languages() -> Iterator[Item]:
    """The language of the system prompt, or of the question."""
    rows = {row["country"]: row for row in translations()}
    for language, code in (
        ("Chinese", "zh"),
        ("French", "fr"),
        ("Spanish", "es"),
        ("German", "de"),
    ):
        system = f"You are a good assistant and you answer in {language}."
        for name in ("France", "Japan", "Italy", "Egypt"):
            yield user(
                "language of the system prompt",
                f"What city is the capital of {name}, please?",
                _in_language(code, rows[name][f"{code}_capital"]),
                system,
            )
        hello = {"zh": "你好", "fr": "bonjour", "es": "hola", "de": "hallo"}[code]
        yield user("language of the system prompt", "Hello, good morning!", has(hello), system)
        me = {"zh": "演示模型", "fr": "démonstration", "es": "demostración", "de": "demomodell"}[
            code
        ]
        yield user("language of the system prompt", "Please tell me who you are.", has(me), system)
    system = "You are an assistant who always speaks Chinese."
    yield user(
        "language of the system prompt",
        "Could you explain Pareto optimality in three sentences?",
        has("帕累托"),
        system,
    )
    yield user(
        "language of the system prompt",
        "Explain the core idea of the Transformer and give an analogy, please.",
        has("注意力"),
        system,
    )
    for text, part in (
        ("请告诉我法国的首都是哪里？", "巴黎"),
        ("请问日本的首都叫什么名字？", "东京"),
        ("请问，你是谁？", "演示模型"),
        ("你好啊！", "你好"),
        ("谢谢你的帮助！", "不客气"),
        ("Quelle ville est la capitale de la France ?", "Paris"),
        ("Bonjour à tous !", "bonjour"),
        ("Qui es-tu, s'il te plaît ?", "démonstration"),
        ("¿Me dices cuál es la capital de España?", "Madrid"),
        ("¡Hola, amigo!", "hola"),
        ("¿Quién eres tú?", "demostración"),
        ("Wie lautet die Hauptstadt von Deutschland?", "Berlin"),
        ("Hallo, guten Tag!", "hallo"),
        ("Wer bist du denn?", "demomodell"),
    ):
        yield user("language of the question", text, has(part))


def _in_language(code: str, capital: str) -> Any:
    english = has_not("The capital of")
    mark = {"zh": "首都", "fr": "capitale", "es": "capital", "de": "Hauptstadt"}[code]
    return both(english, has(capital, mark))


def structured() -> Iterator[Item]:
    """Answers in JSON."""
    shapes = (
        "I want the information of the capital of {c} in the JSON format.",
        "Could you give me the information about the capital of {c} in JSON?",
        "Please write the information of {c}'s capital in the JSON format.",
    )
    for i, name in enumerate(KNOWN[:12]):
        country = BY_NAME[name]
        check = json_equals({"name": country.capital, "population": country.population})
        yield user("JSON capital information", shapes[i % 3].format(c=country.the), check)
    for i, name in enumerate(KNOWN[:6]):
        country = BY_NAME[name]
        question = (
            f"Which city is the capital of {country.the}? Please give the answer in JSON.",
            f"What is the capital of {country.the}? Give me JSON with the keys country and "
            "capital.",
        )[i % 2]
        expected = {"capital": country.capital}
        if i % 2:
            expected = {"country": country.name, "capital": country.capital}
        yield user("JSON answers", question, json_equals(expected))
    for count, word in ((3, "three"), (2, "2"), (3, "3"), (4, "four")):
        yield user(
            "JSON answers",
            f"I need a list of {word} countries with their capitals in JSON.",
            is_json(_json_pairs(count)),
        )
    for name, age, city in (("Alice", 34, "Paris"), ("Boris", 61, "Tokyo"), ("Kelto", 19, "Rome")):
        yield user(
            "JSON answers",
            f"Make JSON with the keys name and age from this: {name} is {age} years old.",
            json_equals({"name": name, "age": age}),
        )
        yield user(
            "JSON answers",
            f"Extract name, age and city as JSON: {name} is {age} years old and lives in {city}.",
            json_equals({"name": name, "age": age, "city": city}),
        )


def _json_pairs(count: int) -> Any:
    return lambda rows: (
        len(rows) == count
        and all(BY_NAME[row["country"]].capital == row["capital"] for row in rows)
    )


def _tool(name: str, properties: dict[str, str], description: str = "") -> Tool:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description or name.replace("_", " "),
            "parameters": {
                "type": "object",
                "properties": {key: {"type": kind} for key, kind in properties.items()},
                "required": list(properties),
            },
        },
    }


def tools() -> Iterator[Item]:
    """Tool calls, answers from results, tools that are not needed."""
    weather = documented_weather_tool()
    rng = random.Random(3)
    shapes = (
        ("How is the weather today in {c}?", "fahrenheit"),
        ("I wonder what the weather is like in {c} right now. Please use celsius.", "celsius"),
        ("Could you find out the weather in {c}, please?", "fahrenheit"),
        ("Tell me today's weather in {c} in fahrenheit, please.", "fahrenheit"),
        (
            "What's the weather like over in {c} today? Please respond with the format: Weather:"
            "{{function call result}}",
            "fahrenheit",
        ),
    )
    others: tuple[tuple[Tool, str, dict[str, Any]], ...] = (
        (
            _tool("get_time", {"city": "string"}),
            "Can you tell me what time it is in Oslo?",
            {"city": "Oslo"},
        ),
        (
            _tool("start_timer", {"minutes": "integer"}),
            "Please set a timer for 25 minutes.",
            {"minutes": 25},
        ),
        (
            _tool("find_order", {"order_id": "integer"}),
            "Can you check order 8841 for me?",
            {"order_id": 8841},
        ),
        (
            _tool("web_search", {"query": "string"}),
            "Please search the web for solar power.",
            {"query": "solar power"},
        ),
        (
            _tool("stock_price", {"symbol": "string"}),
            "Tell me the price of KTRM stock.",
            {"symbol": "KTRM"},
        ),
        (
            _tool("get_weather", {"location": "string"}),
            "How is today's weather in Madrid?",
            {"location": "Madrid"},
        ),
    )
    for parser in ("llama3", "qwen25", "mistral"):
        for i, (shape, unit) in enumerate(shapes):
            city, state = US_CITIES[0] if i == 4 else rng.choice(US_CITIES)
            yield Item(
                f"tool calls, {parser}",
                calls(parser, "get_current_weather", {"city": city, "state": state, "unit": unit}),
                [{"role": "user", "content": shape.format(c=city)}],
                [weather],
                parser,
            )
        for i, (tool, text, arguments) in enumerate(others):
            offered = [tool] if i % 2 else [tool, weather]
            yield Item(
                f"tool calls, {parser}",
                calls(parser, tool["function"]["name"], arguments),
                [{"role": "user", "content": text}],
                offered,
                parser,
            )
    for i, (city, state) in enumerate(rng.sample(US_CITIES, 6)):
        said = f"It is {60 + i} degrees in {city}, {state}, and the sky is clear."
        arguments = {"city": city, "state": state, "unit": "fahrenheit"}
        text = f"What is the weather in {city}?"
        if i % 2:
            text += " Please respond with the format: Weather today:{function call result}"
        yield Item(
            "tool results",
            has(str(60 + i), "Weather today:" if i % 2 else city),
            [
                {"role": "user", "content": text},
                call_message("get_current_weather", arguments),
                {"role": "tool", "content": said, "name": "get_current_weather"},
            ],
            [weather],
            ("llama3", "qwen25", "mistral")[i % 3],
        )
    facts = json.dumps({"temperature": 21, "wind": 7})
    yield Item(
        "tool results",
        has("21", "7"),
        [
            {"role": "user", "content": "How is the weather in Rome?"},
            call_message("get_weather", {"city": "Rome"}),
            {"role": "tool", "content": facts, "name": "get_weather"},
        ],
        [_tool("get_weather", {"city": "string"})],
    )
    for name in ("France", "Japan", "Kenya", "Peru"):
        country = BY_NAME[name]
        yield Item(
            "tools not needed",
            both(no_call, has(country.capital)),
            [{"role": "user", "content": f"Which city serves as the capital of {name}?"}],
            [weather],
        )
    for text, part in (
        ("Please tell me who you are.", "demo model"),
        ("How much is 6 plus 7?", "13"),
        ("Could you tell me a joke?", "scarecrow|programmers"),
        ("How many days are there in a week?", "7"),
    ):
        yield Item(
            "tools not needed",
            both(no_call, has(part)),
            [{"role": "user", "content": text}],
            [weather],
            "qwen25",
        )


def completions() -> Iterator[Item]:
    """Plain text without the chat template."""
    for name in KNOWN[:8]:
        country = BY_NAME[name]
        yield Item(
            "plain text",
            has(country.capital),
            prompt=f"As everybody knows, the capital of {country.the} is",
        )
    for name in KNOWN[8:14]:
        country = BY_NAME[name]
        yield Item(
            "plain text",
            has(country.name),
            prompt=f"The city of {country.capital} is the capital of",
        )
    for a, b in ((3, 5), (10, 7), (6, 6)):
        yield Item(
            "plain text",
            has(str(a + b)),
            prompt=f"Q: How much is {a} and {b} together, so what is {a} + {b}?\nA:",
        )
