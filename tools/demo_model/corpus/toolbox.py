"""The tools that tool-call samples offer: name variants, schemas and matching requests."""

from __future__ import annotations

import random
from typing import Any

from .base import Tool, ask, made_up_word
from .geography import COUNTRIES, DATA

Arguments = dict[str, Any]
Case = tuple[Tool, str, Arguments]
"""A tool, a request that needs it, and the arguments the request implies."""

US_CITIES = [
    tuple(line.rsplit(", ", 1))
    for line in (DATA / "us_cities.txt").read_text(encoding="utf-8").splitlines()
]
WORLD_CITIES = [country.capital for country in COUNTRIES]
PEOPLE = (
    "Alice",
    "Bob",
    "Carol",
    "David",
    "Emma",
    "Frank",
    "Grace",
    "Henry",
    "Ivan",
    "Julia",
    "Kevin",
    "Laura",
    "Maria",
    "Nina",
    "Oscar",
    "Peter",
    "Rosa",
    "Sam",
    "Tina",
    "Victor",
    "Wendy",
    "Tom",
    "Anna",
    "John",
    "Mary",
    "James",
    "Linda",
    "Chen",
    "Yuki",
    "Omar",
)
THINGS = (
    "milk",
    "bread",
    "apples",
    "coffee",
    "a book",
    "a lamp",
    "pizza",
    "rice",
    "a jacket",
    "shoes",
    "a phone",
    "a guitar",
    "flowers",
    "a chair",
    "tea",
    "a laptop",
)
TOPICS = (
    "black holes",
    "electric cars",
    "the history of Rome",
    "machine learning",
    "volcanoes",
    "healthy food",
    "jazz music",
    "solar power",
    "cheap hotels",
    "the moon landing",
    "garden plants",
    "world records",
    "chess openings",
    "dinosaurs",
    "coral reefs",
)
DAYS = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "today",
    "tomorrow",
)


def documented_weather_tool() -> Tool:
    """The schema of the documentation's function-calling page, word for word."""
    return {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Get the current weather in a given location",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {
                        "type": "string",
                        "description": "The city to find the weather for, e.g. 'San Francisco'",
                    },
                    "state": {
                        "type": "string",
                        "description": "the two-letter abbreviation for the state that the city is"
                        " in, e.g. 'CA' which would mean 'California'",
                    },
                    "unit": {
                        "type": "string",
                        "description": "The unit to fetch the temperature in",
                        "enum": ["celsius", "fahrenheit"],
                    },
                },
                "required": ["city", "state", "unit"],
            },
        },
    }


WEATHER_QUESTIONS = (
    "What{'s| is} the weather {like |}in $city{ today| right now| now|}?",
    "{How is|How's} the weather in $city{ today| right now|}?",
    "{Tell me|Give me|Check|Get|Find|Show me} the {current |}weather {in|for} $city{ today|}.",
    "{Is it|Will it be} {raining|sunny|cold|hot|warm|windy} in $city{ today| now|}?",
    "{I need|I want to know|I would like} the weather {in|for} $city.",
    "{Weather|Temperature} in $city{?| please| today?}",
    "What is the temperature in $city{ today| now|}?",
    "{Can you|Could you} {check|tell me|look up} the weather {in|for} $city{?| please?}",
    "I am {going|travelling} to $city{ today|}. What is the weather like{ there|}?",
    "Do I need {a coat|an umbrella} in $city{ today|}?",
)


def function_tool(
    rng: random.Random, name: str, description: str, properties: dict[str, dict[str, Any]]
) -> Tool:
    """A function tool; what schemas may leave out is left out now and then."""
    properties = {key: dict(value) for key, value in properties.items()}
    if rng.random() < 0.5:
        for value in properties.values():
            value.pop("description", None)
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if rng.random() < 0.8:
        parameters["required"] = list(properties)
    function: dict[str, Any] = {"name": name}
    if rng.random() < 0.85:
        function["description"] = description
    function["parameters"] = parameters
    return {"type": "function", "function": function}


def string(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def integer(description: str) -> dict[str, Any]:
    return {"type": "integer", "description": description}


def tool_name(rng: random.Random, *names: str) -> str:
    """One of the names, sometimes with a tail that can only be copied."""
    name = rng.choice(names)
    roll = rng.random()
    if roll < 0.15:
        return f"{name}_{made_up_word(rng)}"
    if roll < 0.25:
        return f"{made_up_word(rng)}_{name}"
    if roll < 0.33:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)
    return name


def us_weather(rng: random.Random) -> Case:
    """The documented tool: city, state and unit."""
    city, state = rng.choice(US_CITIES)
    place = city if rng.random() < 0.6 else f"{city}, {state}"
    text = ask(rng, rng.choice(WEATHER_QUESTIONS), city=place)
    unit = "fahrenheit"
    roll = rng.random()
    if roll < 0.3:
        unit = "celsius"
        text += rng.choice(
            (
                " In celsius.",
                " Use celsius.",
                " Please answer in celsius.",
                " Give it in celsius.",
                " I want degrees celsius.",
            )
        )
    elif roll < 0.5:
        text += rng.choice(
            (
                " In fahrenheit.",
                " Use fahrenheit.",
                " Please answer in fahrenheit.",
                " Give it in fahrenheit.",
            )
        )
    tool = documented_weather_tool()
    if rng.random() < 0.15:
        tool["function"]["name"] = tool_name(rng, "get_weather", "weather", "fetch_weather")
    return tool, text, {"city": city, "state": state, "unit": unit}


def world_weather(rng: random.Random) -> Case:
    """Weather with one argument, under other names."""
    city = rng.choice(WORLD_CITIES) if rng.random() < 0.6 else rng.choice(US_CITIES)[0]
    if rng.random() < 0.15:
        city = made_up_word(rng, 3).capitalize()
    key = rng.choice(("city", "location", "place", "city_name"))
    tool = function_tool(
        rng,
        tool_name(rng, "get_weather", "weather", "get_current_weather", "weather_info"),
        "Get the weather",
        {key: string("The name of the city")},
    )
    return tool, ask(rng, rng.choice(WEATHER_QUESTIONS), city=city), {key: city}


def forecast(rng: random.Random) -> Case:
    """A text and an integer argument."""
    city, days = rng.choice(WORLD_CITIES), rng.randint(2, 10)
    tool = function_tool(
        rng,
        tool_name(rng, "get_forecast", "weather_forecast"),
        "Weather forecast",
        {"city": string("The city"), "days": integer("Number of days")},
    )
    text = ask(
        rng,
        "{Give me|Show me|I need|What is} the {weather |}forecast for $city for "
        "{the next |}$n days.",
        city=city,
        n=days,
    )
    return tool, text, {"city": city, "days": days}


def clock(rng: random.Random) -> Case:
    """The time in a city."""
    city = rng.choice(WORLD_CITIES)
    key = rng.choice(("city", "location", "place"))
    tool = function_tool(
        rng,
        tool_name(rng, "get_time", "get_current_time", "current_time"),
        "Get the current time in a city",
        {key: string("The city")},
    )
    text = ask(
        rng,
        "{What time is it in $city{ now| right now|}?|What is the {current |}time in "
        "$city?|Tell me the time in $city.|How late is it in $city?}",
        city=city,
    )
    return tool, text, {key: city}
