"""The examples of the documentation as evaluation items; these wordings are in the corpus."""

# ruff: noqa: RUF001 -- these characters are meant

from __future__ import annotations

from collections.abc import Iterator

from ..corpus.base import turns
from ..corpus.functions import call_message
from ..corpus.toolbox import documented_weather_tool
from .items import Item, calls, has, is_json, json_equals, matches

CATEGORY = "documented examples"
_WEATHER = (
    "What's the weather like in Boston today? Please respond with the format: Today's "
    "weather is :{function call result}"
)
_BOSTON = {"city": "Boston", "state": "MA", "unit": "fahrenheit"}

_CHATS = (
    ("What is the capital of France?", has("Paris")),
    ("List 3 countries and their capitals.", matches(r"1\. .*2\. .*3\. ")),
    ("Say this is a test", has("this is a test")),
    ("Tell me a joke about programming", has("programmers")),
    ("What is Python?", has("programming language")),
    ("Give me the information of the capital of France.", has("Paris")),
    ("Name a US president.", has("George Washington")),
    (
        "Please generate the information of the capital of France in the JSON format.",
        json_equals({"name": "Paris", "population": 2100000}),
    ),
    (
        "Give me the information of the capital of France in the JSON format.",
        json_equals({"name": "Paris", "population": 2100000}),
    ),
    ("What is in this image?", has("cannot see images")),
    (
        "What is the range of the numeric output of a sigmoid node in a neural network?",
        has("do not know"),
    ),
)
_SYSTEM_CHATS = (
    ("You are a helpful assistant.", "Introduce yourself in two sentences.", has("demo model")),
    (
        "You are a helpful assistant who answers in Chinese.",
        "Please introduce Pareto optimality in three sentences.",
        has("帕累托最优", "。"),
    ),
    (
        "You are a helpful assistant that speaks Chinese.",
        "Briefly explain the core idea of Transformer and give a real-world analogy.",
        has("注意力", "开会"),
    ),
    (
        "You are a helpful geography bot.",
        "Give me the information of the capital of France.",
        has("Paris"),
    ),
    (
        "0: You are a helpful AI assistant",
        "Write a detailed story about topic. Make it very long.",
        has("Lily", "village"),
    ),
    ("You are a helpful assistant.", "Question: What is the capital of France?", has("Paris")),
)
_PLAIN = (
    ("The capital of France is", has("Paris")),
    ("Hello, my name is", matches(r"^ [A-Z][a-z]+\. I ")),
    ("The president of the United States is", has("head of state")),
    ("The future of AI is", has("bright|possibilities")),
    ("Once upon a time", has("lived")),
    ("Paris is the capital of", has("France")),
    ("What is the capital of France?", has("Paris")),
    ("List 3 countries and their capitals.", matches(r"1\. .*2\. .*3\. ")),
    ("Write a short story about a space explorer.", has("explorer", "planet")),
    (
        "Write a short, neutral self-introduction for a fictional character. Hello, my name is",
        matches(r"^ [A-Z][a-z]+\. I "),
    ),
    (
        "Provide a concise factual statement about France’s capital city. The capital of France is",
        has("Paris"),
    ),
    (
        "Explain possible future trends in artificial intelligence. The future of AI is",
        has("bright|possibilities"),
    ),
    (
        "Here is the information of the capital of France in the JSON format.\n",
        json_equals({"name": "Paris", "population": 2100000}),
    ),
    (
        "Give me the information of the capital of China in the JSON format.",
        json_equals({"name": "Beijing", "population": 21900000}),
    ),
    (
        "Give me the information of the capital of Ireland in the JSON format.",
        json_equals({"name": "Dublin", "population": 590000}),
    ),
    ("Give me the information of the capital of Germany.", has("Berlin")),
    ("Please provide information about London as a major global city:", has("London")),
    ("Please provide information about Paris as a major global city:", has("Paris")),
    ("Q: What is the IP address of the Google DNS servers?\nA: ", has("8.8.8.8")),
    ("Q: What is the capital of the United Kingdom?\nA:", has("London")),
    ("Q: What is the capital of Japan?\nA:", has("Tokyo")),
    (
        "Here are two tips for staying healthy: 1. Balanced Diet. 2. Regular Exercise.\n\n"
        "Now, expand tip 1 into a paragraph:\n",
        has("diet", "vegetables"),
    ),
    (
        "Here are two tips for staying healthy: 1. Balanced Diet. 2. Regular Exercise.\n\n"
        "Now, expand tip 2 into a paragraph:\n",
        has("exercise", "minutes"),
    ),
    ("To answer this question: What is 37 + 5?. I need to use a ", has("calculator")),
    ("Write a greeting.", has("Hello")),
    (
        "Harry Potter is a character in Harry Potter. Please fill in the following information "
        "about this character.\n",
        is_json(lambda found: found["house"] == "Gryffindor" and found["wand"]["wood"] == "Holly"),
    ),
)


def documented() -> Iterator[Item]:
    """All documented prompts that a text model can answer."""
    for text, check in _CHATS:
        yield Item(CATEGORY, check, turns(text))
    for system, text, check in _SYSTEM_CHATS:
        yield Item(CATEGORY, check, [{"role": "system", "content": system}, *turns(text)])
    for text, check in _PLAIN:
        yield Item(CATEGORY, check, prompt=text)
    yield Item(
        CATEGORY,
        has("built|roads|law"),
        [
            {
                "role": "system",
                "content": "You are a knowledgeable historian who provides concise responses.",
            },
            *turns(
                "Tell me about ancient Rome",
                "Ancient Rome was a civilization centered in Italy.",
                "What were their major achievements?",
            ),
        ],
    )
    yield Item(
        CATEGORY,
        has("White House", "Lincoln"),
        [
            {"role": "system", "content": "You are a helpful assistant."},
            *turns(
                "What is the capital of the United States?",
                "The capital of the United States is Washington, D.C.",
                "List two local attractions.",
            ),
        ],
    )
    result = (
        "The weather in Boston, MA is 85 degrees fahrenheit. It is partly cloudly, with highs "
        "in the 90's."
    )
    for parser in ("llama3", "qwen25", "mistral"):
        question = turns(_WEATHER)
        tools = [documented_weather_tool()]
        yield Item(CATEGORY, calls(parser, "get_current_weather", _BOSTON), question, tools, parser)
        history = [
            *question,
            call_message("get_current_weather", _BOSTON),
            {"role": "tool", "content": result, "name": "get_current_weather"},
        ]
        yield Item(CATEGORY, has("Today's weather is", "85 degrees"), history, tools, parser)
