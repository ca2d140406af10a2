"""More tools for tool-call samples: one function for each kind of argument."""

from __future__ import annotations

import random
from collections.abc import Callable

from .base import ask, made_up_word
from .toolbox import (
    DAYS,
    PEOPLE,
    THINGS,
    TOPICS,
    WORLD_CITIES,
    Case,
    clock,
    forecast,
    function_tool,
    integer,
    string,
    tool_name,
    world_weather,
)


def calculator(rng: random.Random) -> Case:
    """Two integers."""
    a, b = rng.randint(2, 999), rng.randint(2, 999)
    verb, plain_name = rng.choice((("Add", "add"), ("Multiply", "multiply")))
    word = "plus" if verb == "Add" else "times"
    tool = function_tool(
        rng,
        tool_name(rng, plain_name, f"{plain_name}_numbers"),
        f"{verb} two numbers",
        {"a": integer("First number"), "b": integer("Second number")},
    )
    text = ask(
        rng,
        "{What is $a $w $b?|$v $a and $b.|Use the tool to $l $a and $b.}",
        a=a,
        b=b,
        w=word,
        v=verb,
        l=plain_name,
    )
    return tool, text, {"a": a, "b": b}


def web_search(rng: random.Random) -> Case:
    """Free text that has to be copied."""
    topic = rng.choice(TOPICS) if rng.random() < 0.7 else f"{made_up_word(rng)} {made_up_word(rng)}"
    key = rng.choice(("query", "q", "text", "keywords"))
    tool = function_tool(
        rng,
        tool_name(rng, "web_search", "search", "search_web", "google"),
        "Search the web",
        {key: string("What to search for")},
    )
    text = ask(
        rng,
        "{Search {the web |}for|Look up|Find pages about|Please search for|Google} $topic.",
        topic=topic,
    )
    return tool, text, {key: topic}


def email(rng: random.Random) -> Case:
    """Two texts."""
    person, thing = (
        rng.choice(PEOPLE),
        rng.choice(("the meeting", "dinner", "the report", "the party", "the trip", "lunch")),
    )
    keys = rng.choice((("to", "subject"), ("recipient", "subject"), ("name", "topic")))
    tool = function_tool(
        rng,
        tool_name(rng, "send_email", "send_message", "write_email"),
        "Send an email",
        {keys[0]: string("Who gets it"), keys[1]: string("What it is about")},
    )
    text = ask(
        rng,
        "{Send an email|Write an email|Send a message|Write} to $person about $thing.",
        person=person,
        thing=thing,
    )
    return tool, text, {keys[0]: person, keys[1]: thing}


def timer(rng: random.Random) -> Case:
    """One integer."""
    minutes = rng.randint(1, 90)
    key = rng.choice(("minutes", "duration"))
    tool = function_tool(
        rng, tool_name(rng, "set_timer", "start_timer"), "Start a timer", {key: integer("Minutes")}
    )
    text = ask(
        rng, "{Set|Start} a {timer {for|of}|$n minute timer, that is} $n minutes.", n=minutes
    )
    return tool, text, {key: minutes}


def stock(rng: random.Random) -> Case:
    """A symbol to be copied."""
    symbol = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(3, 4)))
    key = rng.choice(("symbol", "ticker"))
    tool = function_tool(
        rng,
        tool_name(rng, "get_stock_price", "stock_price"),
        "Get the price of a stock",
        {key: string("The stock symbol")},
    )
    text = ask(
        rng, "{What is the {stock |}price of $s?|How much is $s stock?|Price of $s?}", s=symbol
    )
    return tool, text, {key: symbol}


def translate(rng: random.Random) -> Case:
    """A text and a language."""
    phrase = rng.choice(
        (
            "good morning",
            "thank you",
            "I am hungry",
            "see you soon",
            "hello",
            "where is the station",
            "happy birthday",
            "good night",
        )
    )
    language = rng.choice(("French", "Spanish", "German", "Chinese", "Italian", "Japanese"))
    tool = function_tool(
        rng,
        tool_name(rng, "translate", "translate_text"),
        "Translate a text",
        {"text": string("The text"), "language": string("Target language")},
    )
    text = ask(
        rng, "{Translate '$p' {into|to} $l.|How do you say '$p' in $l?}", p=phrase, l=language
    )
    return tool, text, {"text": phrase, "language": language}


def order(rng: random.Random) -> Case:
    """A number that looks like nothing else."""
    number = rng.randint(100, 99999)
    key = rng.choice(("order_id", "id", "number"))
    tool = function_tool(
        rng,
        tool_name(rng, "get_order_status", "find_order", "track_order"),
        "Look up the status of an order",
        {key: integer("The order number")},
    )
    text = ask(
        rng, "{Where is|What is the status of|Track|Find|Check} {my |}order {number |}$n.", n=number
    )
    return tool, text, {key: number}


def shopping(rng: random.Random) -> Case:
    """An item and a count."""
    item, count = rng.choice(THINGS), rng.randint(1, 12)
    tool = function_tool(
        rng,
        tool_name(rng, "add_to_cart", "buy_item", "add_item"),
        "Put an item in the cart",
        {"item": string("The item"), "quantity": integer("How many")},
    )
    text = ask(
        rng,
        "{Add $item to {my|the} cart, $n times.|Order $item, quantity $n.|Buy $n of this: $item.}",
        item=item,
        n=count,
    )
    return tool, text, {"item": item, "quantity": count}


def flight(rng: random.Random) -> Case:
    """Two cities and a day."""
    start, end = rng.sample(WORLD_CITIES, 2)
    day = rng.choice(DAYS)
    tool = function_tool(
        rng,
        tool_name(rng, "book_flight", "find_flights", "search_flights"),
        "Find flights",
        {"origin": string("From"), "destination": string("To"), "day": string("Day of travel")},
    )
    text = ask(
        rng, "{Book|Find|Search|I need} a flight from $a to $b {on|for} $d.", a=start, b=end, d=day
    )
    return tool, text, {"origin": start, "destination": end, "day": day}


def light(rng: random.Random) -> Case:
    """An enumeration."""
    room = rng.choice(("kitchen", "bedroom", "living room", "bathroom", "garage", "office"))
    state = rng.choice(("on", "off"))
    tool = function_tool(
        rng,
        tool_name(rng, "set_light", "switch_light", "light_switch"),
        "Switch a light",
        {"room": string("The room"), "state": {"type": "string", "enum": ["on", "off"]}},
    )
    text = ask(
        rng,
        "{Turn|Switch} {$s the light in the $r|the light in the $r $s|the $r light $s}.",
        s=state,
        r=room,
    )
    return tool, text, {"room": room, "state": state}


CASES: tuple[Callable[[random.Random], Case], ...] = (
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
