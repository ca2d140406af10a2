"""Tool calls in the three formats, answers from tool results, and tools that are not needed."""

from __future__ import annotations

import json
import random
from typing import Any

from . import arithmetic, geography
from .base import Message, Sample, Tool, maybe_system, spin
from .tool_cases import CASES
from .toolbox import Arguments, us_weather

PARSERS = ("llama3", "qwen25", "mistral")


def _case(rng: random.Random) -> tuple[list[Tool], str, str, Arguments]:
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


def call(rng: random.Random) -> Sample:
    """A request and the tool call that answers it."""
    tools, text, name, arguments = _case(rng)
    if rng.random() < 0.25:
        text += _format_wish(rng)[0]
    messages = [{"role": "user", "content": text}, call_message(name, arguments)]
    return Sample(maybe_system(rng, messages), tools, rng.choice(PARSERS))


_LABELS = (
    "Today's weather is ",
    "The result is",
    "Result",
    "Answer",
    "Weather report",
    "Output",
    "Here you go",
    "The weather",
    "Report",
    "It is",
    "Today",
    "Final answer",
    "Info",
    "My answer is ",
)


def _format_wish(rng: random.Random) -> tuple[str, str]:
    """A sentence that asks for an answer format, and what the answer then begins with."""
    label = rng.choice(_LABELS) if rng.random() < 0.6 else "Today's weather is "
    colon = ":" if rng.random() < 0.7 else ": "
    wish = spin(
        rng,
        " {Please respond with the format|Respond with the format|Answer in the format"
        "|Use this format|Please answer in this format}: ",
    )
    return f"{wish}{label}{colon}{{function call result}}", label + colon


_WEATHER = ("sunny", "cloudy", "partly cloudly", "rainy", "foggy", "windy", "snowy", "clear")


def _result(rng: random.Random, arguments: Arguments) -> tuple[str, str]:
    """A tool's result and how it is said: sentences are repeated, JSON becomes a list of facts."""
    values = [str(value) for value in arguments.values()]
    low, high = rng.randint(-5, 110), rng.randint(1, 10) * 10
    unit = arguments.get("unit", rng.choice(("degrees", "celsius", "fahrenheit")))
    roll = rng.random()
    if roll < 0.45:
        place = ", ".join(values[:2])
        text = spin(
            rng,
            "{The weather in $p is $n degrees $u. It is $w, with highs in the $h's.|It is $n "
            "degrees $u and $w in $p.|$p: $n degrees $u, $w.|The weather in $p is $w.}",
            p=place,
            n=low,
            u=unit,
            h=high,
            w=rng.choice(_WEATHER),
        )
        return text, text
    if roll < 0.7:
        text = spin(
            rng,
            "{Done. $v was saved.|The result for $v is $n.|$v: $n|Found $n results for $v.|"
            "OK, $v is ready in $n minutes.|It is $n:30 in $v.|$n}",
            v=values[0],
            n=low + 10,
        )
        return text, text
    facts: dict[str, Any] = {}
    for key in rng.sample(("temperature", "status", "price", "time", "count", "wind", "sky"), 2):
        facts[key] = rng.choice(_WEATHER) if key in ("status", "sky") else rng.randint(1, 120)
    said = ", ".join(f"{key} {value}" for key, value in facts.items())
    return json.dumps(facts), f"The result is: {said}."


def answer(rng: random.Random) -> Sample:
    """The turn after the tool has run: say the result, in the wished format."""
    tools, text, name, arguments = _case(rng)
    result, said = _result(rng, arguments)
    if rng.random() < 0.5:
        wish, start = _format_wish(rng)
        text, said = text + wish, start + result
    messages = [
        {"role": "user", "content": text},
        call_message(name, arguments),
        {"role": "tool", "content": result, "name": name},
        {"role": "assistant", "content": said},
    ]
    offered = tools if rng.random() < 0.8 else None
    return Sample(maybe_system(rng, messages), offered, rng.choice(PARSERS))


def not_needed(rng: random.Random, others: tuple[Any, ...]) -> Sample:
    """Tools are offered, the question does not need them."""
    sample: Sample = rng.choice(others)(rng)
    tools = [us_weather(rng)[0]] if rng.random() < 0.6 else [rng.choice(CASES)(rng)[0]]
    names = {tool["function"]["name"] for tool in tools}
    if any("add" in name or "multiply" in name for name in names):
        tools = [us_weather(rng)[0]]
    sample.tools, sample.parser = tools, rng.choice(PARSERS)
    return sample


PLAIN_QUESTIONS = (
    geography.capital,
    geography.reverse,
    geography.list_countries,
    arithmetic.exercise,
)
