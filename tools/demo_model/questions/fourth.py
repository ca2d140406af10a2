"""A fourth set of held-out questions, over the skills that the documentation's examples need.

As with ``second.py``: do not add wordings to the corpus because a question here fails.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from ..corpus.base import Message, turns
from ..corpus.toolbox import documented_weather_tool
from .countries import countries_listed, pairs_listed
from .items import Check, Item, both, calls, exactly, has, is_json, json_equals, number

_CAPITALS = (
    ("Hi! My daughter has a geography test tomorrow and we can't remember the capital of Norway. "
     "Do you know it?", "Oslo"),
    ("capital of mongolia?", "Ulaanbaatar|Ulan Bator"),
    ("Brazil's capital is which city?", "Brasília|Brasilia"),
    ("Could you please tell me what Kenya's capital is called?", "Nairobi"),
    ("what's the name of canada's capital city", "Ottawa"),
    ("We are flying to Thailand in spring. What is the capital there?", "Bangkok"),
    ("Australia's capital, please?", "Canberra"),
    ("I need the capital of Burkina Faso for a crossword.", "Ouagadougou"),
    ("Do you happen to know the capital of Zambia?", "Lusaka"),
    ("Good evening. I would like to know which city is the capital of Egypt.", "Cairo"),
    ("Paraguay - what is the capital?", "Asunción|Asuncion"),
    ("So what's the capital of Latvia then?", "Riga"),
    ("Quick question about Slovenia. What's its capital city?", "Ljubljana"),
    ("remind me, what is the capital of vietnam", "Hanoi"),
    ("My neighbour comes from Laos. What is the capital of his country?", "Vientiane"),
    ("Name the capital of Madagascar.", "Antananarivo"),
    ("I have a friend who lives in the capital of Sweden. Which city is that?", "Stockholm"),
    ("hey there :) capital of south korea please", "Seoul"),
    ("I am making a quiz about Africa. What should I write down as the capital of Namibia?",
     "Windhoek"),
    ("What city do people mean when they talk about the capital of Cuba?", "Havana"),
    ("Which country is Lima the capital of?", "Peru"),
    ("Accra is the capital of which country?", "Ghana"),
    ("I read about Kathmandu today. Whose capital is it?", "Nepal"),
)  # fmt: skip
_CAPITAL_PROMPTS = (
    ("The capital city of Uruguay is", "Montevideo"),
    ("Question: Which city is the capital of Iceland?\nAnswer:", "Reykjav"),
)
_LISTS: tuple[tuple[str, Check], ...] = (
    ("Can you give me four countries together with their capitals?", pairs_listed(4)),
    ("Please name two countries and say what the capital of each one is.", pairs_listed(2)),
    ("i need 5 countries with capitals for a quiz", pairs_listed(5)),
    ("Write down three countries, each with its capital city, thanks!", pairs_listed(3)),
    ("Three European countries and their capitals, please.", pairs_listed(3, "Europe")),
    ("Could you list 4 African countries and the capital of each?", pairs_listed(4, "Africa")),
    ("Hello! Show me 3 countries in Asia with their capitals.", pairs_listed(3, "Asia")),
    ("Tell me some countries in South America. Three are enough.",
     countries_listed(3, "South America")),
    ("What are the capitals of Spain, Italy and Greece?", has("Madrid", "Rome", "Athens")),
    ("List the capitals of these countries: Chile, Poland, Nigeria.",
     has("Santiago", "Warsaw", "Abuja")),
)  # fmt: skip
_INTRODUCTIONS = (
    ("", "Hi! Could you tell me a little about yourself?"),
    ("", "who are you?"),
    ("", "Please introduce yourself to our visitors."),
    ("", "I don't think we have met. What are you?"),
    ("", "Before we start, a short self-introduction, please."),
    ("", "Hello there, what should I know about you?"),
    ("", "Say in one sentence who you are."),
    ("", "Am I talking to a person or to a program? Please introduce yourself."),
    ("You are a helpful assistant.",
     "Nice to meet you! Please present yourself in two short sentences."),
    ("You are a friendly helper.", "What is your name, and what can you do?"),
)  # fmt: skip
_TOPICS = (
    "diet|eat|food|vegetable|fruit|meal", "exercise|walk|active|sport|move|run", "sleep|rest|bed",
    "water|drink|hydrat", "hand|wash|hygiene", "stress|relax|calm|breath|break",
    "smok|alcohol|tobacco", "doctor|check-up|checkup", "friend|family|laugh", "outside|fresh air",
)  # fmt: skip


def _tips(count: int) -> Check:
    """Tips on at least this many matters of health, and no more of them if they are numbered."""
    topics = [re.compile(rf"\b(?:{topic})", re.IGNORECASE) for topic in _TOPICS]
    beyond = re.compile(rf"(?m)(?:^|\s){count + 1}[.)] ")
    return lambda text: (
        sum(topic.search(text) is not None for topic in topics) >= count
        and beyond.search(text) is None
    )


_HEALTH = (
    ("Can you give me three tips so that I stay healthy?", 3),
    ("how do i stay healthy?", 1),
    ("My doctor says that I should live a healthier life. Do you have two tips for me?", 2),
    ("Name one thing that I can do for my health.", 1),
    ("Hello! I sit in an office all day. What can I do to keep healthy?", 1),
    ("Please list 3 ways to keep fit and healthy.", 3),
    ("What is good advice for a healthy life?", 1),
    ("I'd be glad about a few healthy habits. Two will do.", 2),
)
_SUMS = (
    ("What does 14 plus 9 make?", 23), ("17 + 26 = ?", 43), ("how much is 48 + 31", 79),
    ("Please add 60 and 25.", 85), ("What do you get for 33-12?", 21), ("72 - 40?", 32),
    ("Could you subtract 15 from 90 for me, please?", 75), ("hi, what is 56 minus 8?", 48),
    ("What's 6 times 8?", 48), ("7 x 5", 35), ("Tell me the product of 4 and 9.", 36),
    ("3 * 8 is how much?", 24), ("What is 42 divided by 6?", 7), ("36 / 4 = ?", 9),
    ("I have to divide 20 by 5. What is the result?", 4),
    ("Tom has 12 marbles and gets 7 more. How many marbles does he have now?", 19),
    ("There are 30 sweets in a bag. I eat 4 of them. How many sweets are left?", 26),
    ("A box holds 6 eggs. How many eggs are in 3 boxes?", 18),
)  # fmt: skip
_SUMS_IN_WORDS = (
    ("what is seven plus eight?", 15, "fifteen"),
    ("How much is three times four?", 12, "twelve"),
)

_FOLLOW_UPS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("What is the capital of Italy?", "The capital of Italy is Rome.", "And Portugal?"),
     has("Lisbon")),
    (("capital of peru?", "The capital of Peru is Lima.", "and what about bolivia"),
     has("Sucre|La Paz")),
    (("Which city is the capital of Ghana?", "The capital of Ghana is Accra.",
      "Which continent is it on?"), has("Africa")),
    (("Hi, what's the capital of Chile?", "The capital of Chile is Santiago.",
      "Thanks! What language do people speak there?"), has("Spanish")),
    (("Please tell me the capital of Japan.", "The capital of Japan is Tokyo.",
      "Okay. And on which continent is that country?"), has("Asia")),
    (("What is the capital of Hungary?", "The capital of Hungary is Budapest.", "And of Romania?",
      "The capital of Romania is Bucharest.", "And Bulgaria's?"), has("Sofia")),
    (("What's the capital of Cambodia?", "The capital of Cambodia is Phnom Penh.",
      "Great, and which one is Malaysia's?"), has("Kuala Lumpur")),
    (("Hello! I'm Teresa.", "Hello Teresa! How can I help you?", "what did I say my name is?"),
     has("Teresa")),
    (("My name is Oliver. What is the capital of Greece?",
      "Hello Oliver! The capital of Greece is Athens.", "Right. Do you still know my name?"),
     has("Oliver")),
    (("Good morning, you can call me Nadia.", "Good morning, Nadia!", "What is 5 + 4?",
      "5 + 4 = 9.", "Nice. So, who am I?"), has("Nadia")),
    (("What is 20 + 10?", "20 + 10 = 30.", "Now add 5 to that."), number(35)),
    (("how much is 6 times 3?", "6 x 3 = 18.", "And 6 times 4?"), number(24)),
    (("Which country has Ottawa as its capital?", "Ottawa is the capital of Canada.",
      "And Wellington? Which country is that the capital of?"), has("New Zealand")),
    (("Give me one tip for staying healthy.", "Drink enough water every day.",
      "Good. Do you have another one?"), _tips(1)),
    (("I live in Denmark.", "That is nice!", "What is the capital of my country?"),
     has("Copenhagen")),
)  # fmt: skip


def _plain(text: str) -> str:
    """Lower case without accents."""
    letters = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).lower()


def _city(name: str, population: int) -> Check:
    """The documented object: this city, and a whole number near its population."""
    return is_json(
        lambda found: (
            set(found) == {"name", "population"}
            and _plain(found["name"]) == _plain(name)
            and type(found["population"]) is int
            and 0.6 * population <= found["population"] <= 1.7 * population
        )
    )


_JSON: tuple[tuple[str, Check], ...] = (
    ("Please give me information on the capital of Spain as JSON with the keys name and "
     "population.", _city("Madrid", 3_300_000)),
    ("I want the capital of Austria in JSON format: name and population.",
     _city("Vienna", 2_000_000)),
    ("json with name and population of the capital of egypt please", _city("Cairo", 10_000_000)),
    ("Could you generate information about Kenya's capital in the JSON format?",
     _city("Nairobi", 4_400_000)),
    ("Hello! For my program I need the information of the capital of Poland in JSON.",
     _city("Warsaw", 1_860_000)),
    ("Describe the capital of Cuba as a JSON object with the fields name and population.",
     _city("Havana", 2_100_000)),
    ("The capital of Norway, its name and population, in JSON please. Nothing else.",
     _city("Oslo", 700_000)),
    ('Answer in JSON with the keys "country" and "capital": what is the capital of Finland?',
     json_equals({"country": "Finland", "capital": "Helsinki"})),
    ("Give me Thailand and its capital as JSON, keys country and capital.",
     json_equals({"country": "Thailand", "capital": "Bangkok"})),
    ("What's the capital of Greece? Reply only with JSON that has the keys country and capital.",
     json_equals({"country": "Greece", "capital": "Athens"})),
    ("Turn this into JSON with the keys name and age: Laura is 31 years old.",
     json_equals({"name": "Laura", "age": 31})),
    ("Henry is 45 years old and lives in Dublin. Give me that as JSON with name, age and city.",
     json_equals({"name": "Henry", "age": 45, "city": "Dublin"})),
)  # fmt: skip


def _weather(parser: str, city: str, state: str, units: str = "celsius|fahrenheit") -> Check:
    """A call for this place; where the question leaves the unit open, either one will do."""
    options = [
        calls(parser, "get_current_weather", {"city": city, "state": state, "unit": unit})
        for unit in units.split("|")
    ]
    return lambda text: any(option(text) for option in options)


# the format, what was said, and the city, the state and the unit of the call
_WEATHER = (
    ("llama3", ("Hi! I'm about to leave for Denver, CO. What's the weather doing there? Fahrenheit "
                "please.",), ("Denver", "CO", "fahrenheit")),
    ("llama3", ("weather seattle, wa in celsius",), ("Seattle", "WA", "celsius")),
    ("llama3", ("Could you please find out how warm it is in Austin, Texas at the moment, in "
                "fahrenheit?",), ("Austin", "TX", "fahrenheit")),
    ("llama3", ("Should I pack a raincoat for Portland, OR today?",), ("Portland", "OR")),
    ("llama3", ("Sunny or cloudy in Miami, FL? And how many degrees celsius?",),
     ("Miami", "FL", "celsius")),
    ("qwen25", ("Is it a nice day in San Diego, CA? I prefer degrees fahrenheit.",),
     ("San Diego", "CA", "fahrenheit")),
    ("qwen25", ("how cold is it in minneapolis, mn? in celsius please",),
     ("Minneapolis", "MN", "celsius")),
    ("qwen25", ("My sister lives in Atlanta, GA. What weather does she have today, in celsius?",),
     ("Atlanta", "GA", "celsius")),
    ("qwen25", ("What's it like outside in Chicago today?",), ("Chicago", "IL")),
    ("qwen25", ("Hello!", "Hello! How can I help you?",
                "I'd love a weather report for Las Vegas, NV, in fahrenheit."),
     ("Las Vegas", "NV", "fahrenheit")),
    ("mistral", ("Give me today's weather for Nashville, TN, in fahrenheit.",),
     ("Nashville", "TN", "fahrenheit")),
    ("mistral", ("I would like to know the current temperature in Detroit, Michigan, in degrees "
                 "celsius.",), ("Detroit", "MI", "celsius")),
    ("mistral", ("What will I need in New Orleans, LA today, sunglasses or an umbrella?",),
     ("New Orleans", "LA")),
    ("mistral", ("We want to have a picnic in Columbus, OH. Will the weather be good? Celsius, "
                 "please.",), ("Columbus", "OH", "celsius")),
    ("mistral", ("current weather in tucson, az, fahrenheit",),
     ("Tucson", "AZ", "fahrenheit")),
)  # fmt: skip
_WEATHER_SYSTEMS = {
    "Denver": "You are a friendly assistant who helps people to plan their trips.",
    "Atlanta": "You are a helpful assistant.",
    "Columbus": "You can use tools to answer the questions of the user.",
}


def _words(*words: str) -> Check:
    """One of these whole words, which a persona is known by."""
    pattern = re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)
    return lambda text: pattern.search(text) is not None


_SYSTEM: tuple[tuple[str, str, Check], ...] = (
    ("You always answer in French.", "Which city is the capital of Japan?",
     has("Tokyo", "capitale")),
    ("Please reply to everything in German.", "Hello! What is the capital of Italy?",
     has("Rom", "Hauptstadt")),
    ("You are an assistant. Your answers are always in Chinese.", "What is the capital of France?",
     has("巴黎")),
    ("You are a pirate. Talk like one.", "What's the capital of Spain?",
     both(has("Madrid"), _words("a+r+", "ahoy", "matey", "aye", "ye", "me hearty", "yo ho"))),
    ("You are a cat and speak like a cat.", "hi, how are you today?",
     _words("me+o+w", "mew", "mrr*ow", "pu+rr+s?", "purring", "nya+")),
    ("From now on you are a robot.", "Good morning! Who are you?",
     _words("beep", "boop", "bee+p", "bz+t?", "robot", "unit", "affirmative")),
    ("You talk like a cowboy from the Wild West.", "Could you tell me the capital of Canada?",
     both(has("Ottawa"), _words("howdy", "partner", "pardner", "y'all", "yee-?haw", "reckon"))),
    ("You are a polite English butler.", "What is 8 plus 5?",
     both(has("13"), _words("sir", "madam", "at your service", "very good", "indeed",
                            "pleasure", "allow me", "if i may"))),
    ("Your name is Clara. You are the assistant of a small library.", "hello, what's your name?",
     has("Clara")),
    ("Answer with one word only.", "What is the capital of Hungary?", exactly("Budapest")),
)  # fmt: skip


def fourth() -> Iterator[Item]:
    """All items of the fourth set."""
    for text, city in _CAPITALS:
        yield Item("fourth: capitals", has(city), turns(text))
    for prompt, city in _CAPITAL_PROMPTS:
        yield Item("fourth: capitals", has(city), prompt=prompt)
    for text, check in _LISTS:
        yield Item("fourth: lists of countries", check, turns(text))
    for system, text in _INTRODUCTIONS:
        messages = _with_system(system, turns(text))
        yield Item("fourth: self-introduction", has("demo model|demo-model"), messages)
    for text, count in _HEALTH:
        yield Item("fourth: staying healthy", _tips(count), turns(text))
    for text, result in _SUMS:
        yield Item("fourth: arithmetic", number(result), turns(text))
    for text, result, word in _SUMS_IN_WORDS:
        yield Item("fourth: arithmetic", _words(str(result), word), turns(text))
    for texts, check in _FOLLOW_UPS:
        yield Item("fourth: follow-ups", check, turns(*texts))
    for text, check in _JSON:
        yield Item("fourth: JSON", check, turns(text))
    for parser, said, call in _WEATHER:
        messages = _with_system(_WEATHER_SYSTEMS.get(call[0], ""), turns(*said))
        yield Item("fourth: weather tool", _weather(parser, *call), messages,
                   [documented_weather_tool()], parser)  # fmt: skip
    for system, text, check in _SYSTEM:
        yield Item("fourth: system prompt", check, _with_system(system, turns(text)))


def _with_system(system: str, messages: list[Message]) -> list[Message]:
    return [{"role": "system", "content": system}, *messages] if system else messages
