"""The tools that tool-call samples offer: name variants, schemas and matching requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .base import PEOPLE, Tool, made_up_word
from .geography import COUNTRIES
from .wording import DATA, Speaker, ask, phrase

Arguments = dict[str, Any]
Case = tuple[Tool, str, Arguments]
"""A tool, a request that needs it, and the arguments the request implies."""

US_CITIES = [
    tuple(line.rsplit(", ", 1))
    for line in (DATA / "us_cities.txt").read_text(encoding="utf-8").splitlines()
]
WORLD_CITIES = [country.capital for country in COUNTRIES]
_THINGS = ("milk", "bread", "apples", "coffee", "a book", "a lamp", "pizza", "rice", "a jacket",
           "shoes", "a phone", "a guitar", "flowers", "a chair", "tea", "a laptop")  # fmt: skip
_TOPICS = ("black holes", "electric cars", "the history of Rome", "machine learning", "volcanoes",
           "healthy food", "jazz music", "solar power", "cheap hotels", "the moon landing",
           "garden plants", "world records", "chess openings", "dinosaurs",
           "coral reefs")  # fmt: skip
_DAYS = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "today",
    "tomorrow",
]
_PHRASES = ("good morning", "thank you", "I am hungry", "see you soon", "hello", "good night",
            "where is the station", "happy birthday")  # fmt: skip


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


def function_tool(
    rng: Speaker, name: str, description: str, properties: dict[str, dict[str, Any]]
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


def tool_name(rng: Speaker, *names: str) -> str:
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


def us_weather(rng: Speaker) -> Case:
    """The documented tool: city, state and unit."""
    city, state = rng.choice(US_CITIES)
    place = city if rng.random() < 0.6 else f"{city}, {state}"
    unit, wish = "fahrenheit", ""
    roll = rng.random()
    if roll < 0.35:
        unit = "celsius"
        wish = phrase(rng, "tools/celsius")
    elif roll < 0.5:
        wish = phrase(rng, "tools/fahrenheit")
    text = ask(rng, "tools/weather", city=place)
    if wish:
        text += (". " if text[-1].isalnum() else " ") + wish
    tool = documented_weather_tool()
    if rng.random() < 0.12:
        tool["function"]["name"] = tool_name(rng, "get_weather", "weather", "fetch_weather")
    return tool, text, {"city": city, "state": state, "unit": unit}


def world_weather(rng: Speaker) -> Case:
    """Weather with one argument, under other names."""
    city = rng.choice(WORLD_CITIES) if rng.random() < 0.6 else rng.choice(US_CITIES)[0]
    invented = rng.random() < 0.12
    if invented:
        city = made_up_word(rng, 3).capitalize()
    key = rng.choice(("city", "location", "place", "city_name"))
    name = tool_name(rng, "get_weather", "weather", "get_current_weather", "weather_info")
    tool = function_tool(rng, name, "Get the weather", {key: string("The name of the city")})
    return tool, ask(rng, "tools/weather", exact=invented, city=city), {key: city}


def forecast(rng: Speaker) -> Case:
    """A text and an integer argument."""
    city, days = rng.choice(WORLD_CITIES), rng.randint(2, 10)
    fields = {"city": string("The city"), "days": integer("Number of days")}
    name = tool_name(rng, "get_forecast", "weather_forecast")
    tool = function_tool(rng, name, "Weather forecast", fields)
    return tool, ask(rng, "tools/forecast", city=city, n=days), {"city": city, "days": days}


def clock(rng: Speaker) -> Case:
    """The time in a city."""
    city, key = rng.choice(WORLD_CITIES), rng.choice(("city", "location", "place"))
    name = tool_name(rng, "get_time", "get_current_time", "current_time")
    tool = function_tool(rng, name, "Get the current time in a city", {key: string("The city")})
    return tool, ask(rng, "tools/clock", city=city), {key: city}


def calculator(rng: Speaker) -> Case:
    """Two integers."""
    a, b = rng.randint(2, 999), rng.randint(2, 999)
    verb, path = rng.choice((("add", "tools/adding"), ("multiply", "tools/multiplying")))
    fields = {"a": integer("First number"), "b": integer("Second number")}
    name = tool_name(rng, verb, f"{verb}_numbers")
    tool = function_tool(rng, name, f"{verb.capitalize()} two numbers", fields)
    return tool, ask(rng, path, a=a, b=b), {"a": a, "b": b}


def web_search(rng: Speaker) -> Case:
    """Free text that has to be copied."""
    topic = (
        rng.choice(_TOPICS) if rng.random() < 0.7 else f"{made_up_word(rng)} {made_up_word(rng)}"
    )
    key = rng.choice(("query", "q", "text", "keywords"))
    name = tool_name(rng, "web_search", "search", "search_web", "google")
    tool = function_tool(rng, name, "Search the web", {key: string("What to search for")})
    return tool, ask(rng, "tools/search", exact=True, t=topic), {key: topic}


def email(rng: Speaker) -> Case:
    """Two texts."""
    person = rng.choice(PEOPLE)
    thing = rng.choice(("the meeting", "dinner", "the report", "the party", "the trip", "lunch"))
    to, about = rng.choice((("to", "subject"), ("recipient", "subject"), ("name", "topic")))
    fields = {to: string("Who gets it"), about: string("What it is about")}
    name = tool_name(rng, "send_email", "send_message", "write_email")
    tool = function_tool(rng, name, "Send an email", fields)
    text = ask(rng, "tools/mail", exact=True, p=person, t=thing)
    return tool, text, {to: person, about: thing}


def timer(rng: Speaker) -> Case:
    """One integer."""
    minutes, key = rng.randint(1, 90), rng.choice(("minutes", "duration"))
    name = tool_name(rng, "set_timer", "start_timer")
    tool = function_tool(rng, name, "Start a timer", {key: integer("Minutes")})
    return tool, ask(rng, "tools/timer", n=minutes), {key: minutes}


def stock(rng: Speaker) -> Case:
    """A symbol to be copied."""
    symbol = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(3, 4)))
    key = rng.choice(("symbol", "ticker"))
    name = tool_name(rng, "get_stock_price", "stock_price")
    tool = function_tool(rng, name, "Get the price of a stock", {key: string("The stock symbol")})
    return tool, ask(rng, "tools/stock", exact=True, s=symbol), {key: symbol}


def translate(rng: Speaker) -> Case:
    """A text and a language."""
    said = rng.choice(_PHRASES)
    language = rng.choice(("French", "Spanish", "German", "Chinese", "Italian", "Japanese"))
    fields = {"text": string("The text"), "language": string("Target language")}
    tool = function_tool(
        rng, tool_name(rng, "translate", "translate_text"), "Translate a text", fields
    )
    text = ask(rng, "tools/translating", exact=True, p=said, l=language)
    return tool, text, {"text": said, "language": language}


def order(rng: Speaker) -> Case:
    """A number that looks like nothing else."""
    number, key = rng.randint(100, 99999), rng.choice(("order_id", "id", "number"))
    name = tool_name(rng, "get_order_status", "find_order", "track_order")
    fields = {key: integer("The order number")}
    tool = function_tool(rng, name, "Look up the status of an order", fields)
    return tool, ask(rng, "tools/order", n=number), {key: number}


def shopping(rng: Speaker) -> Case:
    """An item and a count."""
    item, count = rng.choice(_THINGS), rng.randint(1, 12)
    fields = {"item": string("The item"), "quantity": integer("How many")}
    name = tool_name(rng, "add_to_cart", "buy_item", "add_item")
    tool = function_tool(rng, name, "Put an item in the cart", fields)
    text = ask(rng, "tools/shopping", item=item, n=count)
    return tool, text, {"item": item, "quantity": count}


def flight(rng: Speaker) -> Case:
    """Two cities and a day."""
    start, end = rng.sample(WORLD_CITIES, 2)
    day = rng.choice(_DAYS)
    name = tool_name(rng, "book_flight", "find_flights", "search_flights")
    fields = {
        "origin": string("From"),
        "destination": string("To"),
        "day": string("Day of travel"),
    }
    tool = function_tool(rng, name, "Find flights", fields)
    text = ask(rng, "tools/flight", a=start, b=end, d=day)
    return tool, text, {"origin": start, "destination": end, "day": day}


def light(rng: Speaker) -> Case:
    """An enumeration."""
    room = rng.choice(("kitchen", "bedroom", "living room", "bathroom", "garage", "office"))
    state = rng.choice(("on", "off"))
    fields = {"room": string("The room"), "state": {"type": "string", "enum": ["on", "off"]}}
    name = tool_name(rng, "set_light", "switch_light", "light_switch")
    tool = function_tool(rng, name, "Switch a light", fields)
    return tool, ask(rng, "tools/light", s=state, r=room), {"room": room, "state": state}


CASES: tuple[Callable[[Speaker], Case], ...] = (
    world_weather,
    world_weather,
    forecast,
    clock,
    calculator,
    web_search,
    email,
    timer,
    stock,
    translate,
    order,
    shopping,
    flight,
    light,
)
