"""Tool calls in the three formats, answers from tool results, and tools that are not needed."""

from __future__ import annotations

import json
from typing import Any

from . import arithmetic, geography, topics
from .base import Exchanger, Message, Sample, Tool, chat, lexicon, maybe_system
from .toolbox import CASES, Arguments, us_weather
from .wording import Speaker, phrase

PARSERS = ("llama3", "qwen25", "mistral")


def _case(rng: Speaker) -> tuple[list[Tool], str, str, Arguments]:
    """Offered tools, the request, the name of the tool it needs and the arguments."""
    if rng.random() < 0.4:
        tool, text, arguments = us_weather(rng)
        others = 0 if rng.random() < 0.8 else 1
    else:
        tool, text, arguments = rng.choice(CASES)(rng)
        others = rng.choice((0, 0, 1, 1, 2))
    tools = [tool]
    for _ in range(others):
        extra = rng.choice(CASES)(rng)[0]
        if _describes(extra) not in [_describes(other) for other in tools]:
            tools.append(extra)
    rng.shuffle(tools)
    return tools, text, tool["function"]["name"], arguments


def _describes(tool: Tool) -> tuple[str, ...]:
    """Two tools with the same arguments would make the choice a guess."""
    return tuple(sorted(tool["function"]["parameters"]["properties"]))


def call_message(name: str, arguments: Arguments) -> Message:
    """An assistant message that calls one function, as the OpenAI API writes it."""
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": function}],
    }


def _and(text: str, wish: str) -> str:
    return f"{text}{'. ' if text[-1].isalnum() else ' '}{wish}"


def call(rng: Speaker) -> Sample:
    """A request and the tool call that answers it."""
    tools, text, name, arguments = _case(rng)
    if rng.random() < 0.25:
        text = _and(text, _format_wish(rng)[0])
    messages = [{"role": "user", "content": text}, call_message(name, arguments)]
    return Sample(maybe_system(rng, messages), tools, rng.choice(PARSERS))


_LABELS = ("The result is", "Result", "Answer", "Weather report", "Output", "Here you go",
           "The weather", "Report", "It is", "Today", "Final answer", "Info",
           "My answer is ")  # fmt: skip


def _format_wish(rng: Speaker) -> tuple[str, str]:
    """A sentence that asks for an answer format, and what the answer then begins with."""
    roll = rng.random()
    label = "Today's weather is " if roll < 0.35 else rng.choice(_LABELS)
    if roll > 0.7:
        words = lexicon()["nouns"] + lexicon()["adjectives"]
        label = " ".join(rng.sample(words, rng.choice((1, 2)))).capitalize()
    colon = ":" if rng.random() < 0.7 else ": "
    wish = phrase(rng, "tools/format", l=f"{label}{colon}{{function call result}}")
    return wish, label + colon


_WEATHER = ("sunny", "cloudy", "partly cloudly", "rainy", "foggy", "windy", "snowy", "clear",
            "grey", "stormy", "bright", "dry", "wet", "icy")  # fmt: skip


def _result(rng: Speaker, arguments: Arguments) -> tuple[str, str]:
    """A tool's result and how it is said: sentences are repeated, JSON becomes a list of facts."""
    values = [str(value) for value in arguments.values()]
    roll = rng.random()
    if roll < 0.75:
        text = phrase(
            rng,
            "tools/result_weather" if roll < 0.5 else "tools/result_other",
            p=", ".join(values[:2]),
            v=values[0],
            n=rng.randint(-5, 110),
            h=rng.randint(1, 10) * 10,
            u=arguments.get("unit", rng.choice(("degrees", "celsius", "fahrenheit"))),
            w=rng.choice(_WEATHER),
            x=rng.choice(lexicon()["adjectives"]),
            y=rng.choice(lexicon()["nouns"]),
        )
        return text, text
    facts: dict[str, Any] = {}
    for key in rng.sample(("temperature", "status", "price", "time", "count", "wind", "sky"), 2):
        facts[key] = rng.choice(_WEATHER) if key in ("status", "sky") else rng.randint(1, 120)
    said = ", ".join(f"{key} {value}" for key, value in facts.items())
    return json.dumps(facts), f"The result is: {said}."


def answer(rng: Speaker) -> Sample:
    """The turn after the tool has run: say the result, in the wished format."""
    tools, text, name, arguments = _case(rng)
    result, said = _result(rng, arguments)
    if rng.random() < 0.5:
        wish, start = _format_wish(rng)
        text, said = _and(text, wish), start + result
    messages = [
        {"role": "user", "content": text},
        call_message(name, arguments),
        {"role": "tool", "content": result, "name": name},
        {"role": "assistant", "content": said},
    ]
    offered = tools if rng.random() < 0.8 else None
    return Sample(maybe_system(rng, messages), offered, rng.choice(PARSERS))


_WITHOUT: tuple[Exchanger, ...] = (
    geography.capital,
    geography.reverse,
    geography.list_countries,
    arithmetic.exercise,
    topics.introduction,
    topics.talk,
    topics.knowledge,
    topics.writing,
    topics.health,
)


def not_needed(rng: Speaker) -> Sample:
    """Tools are offered, the question does not need them."""
    sample = chat(rng, *rng.choice(_WITHOUT)(rng))
    tool = us_weather(rng)[0] if rng.random() < 0.6 else rng.choice(CASES)(rng)[0]
    if any(word in tool["function"]["name"].lower() for word in ("add", "multiply")):
        tool = us_weather(rng)[0]
    sample.tools, sample.parser = [tool], rng.choice(PARSERS)
    return sample
