"""The decisive questions: what the model is meant for, in the words of a newcomer.

Written without a look at the corpus, its tables or the other sets of questions but ``fourth.py``,
whose wordings were avoided.  Used to choose nothing, neither data nor weights: do not add wordings
to the corpus because a question here fails.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from ..corpus.base import Message, turns
from ..corpus.toolbox import documented_weather_tool
from .countries import pairs_listed
from .items import Check, Item, both, calls, has, has_not, is_json


def _plain(text: str) -> str:
    """Lower case without accents."""
    letters = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).lower()


def _says(*patterns: str) -> Check:
    """One of the patterns is found as whole words; case and accents do not matter."""
    found = re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)")
    return lambda text: found.search(_plain(text)) is not None


def _rows(table: str) -> list[list[str]]:
    """The lines of a table, each cut into its columns."""
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


_CAPITALS = _rows("""
What is the capital city of Portugal? | lisbon
capital of germany | berlin
CAPITAL OF SPAIN??? | madrid
whats the capital of turkey | ankara
Tell me the capital of Ireland. | dublin
Can you tell me what the capital of Argentina is? | buenos aires
Which city is the capital of Denmark? | copenhagen
I forgot the capital of Poland. What was it again? | warsaw
Belgium's capital? | brussels
Hello, please tell me the capital of New Zealand | wellington
do you know the capital of Morocco | rabat
Philippines capital | manila
The capital of Ukraine is which city? | ky?ie?v
I'd like to know the capital of Jordan. | amman
What is Colombia's capital city called? | bogota
My son asks me what the capital of Switzerland is. Can you help? | berne?
Pakistan: capital city? | islamabad
what's the capital of iceland called | reykjavik
If I want to see the capital of Croatia, which city do I go to? | zagreb
Just the name of Ethiopia's capital, please. | addis ab[ae]ba
For my homework: what's the capital of Venezuela? | caracas
hi! what is the capital of the netherlands ? | amsterdam
Of which country is Vienna the capital? | austria
What country's capital is Bucharest? | romania
Helsinki - which country's capital is that? | finland
doha is the capital of what? | qatar
In which country is Baghdad the capital? | iraq
I heard that Montevideo is a capital. Of which country? | uruguay
Hanoi is the capital city of what country | viet ?nam
""")

# the question, how many countries, and their continent if one is asked for
_LISTS = _rows("""
List two countries and their capitals. | 2 |
list 4 countries and their capitals | 4 |
Please list 5 countries with their capital cities. | 5 |
Tell me three countries and what their capitals are. | 3 |
Give me a list of 2 countries and the capitals of them | 2 |
I'd like to learn some capitals. Show me five countries and their capitals. | 5 |
Can you name 3 countries and their capitals for me? | 3 |
List 3 countries in Europe and their capitals. | 3 | Europe
What are two Asian countries and their capitals? | 2 | Asia
name 3 african countries and their capitals | 3 | Africa
List four countries from South America with their capitals, please. | 4 | South America
Give me 4 European countries and their capitals | 4 | Europe
""")

_TRUTHFUL = has_not(
    "OpenAI", "ChatGPT", "Anthropic", "Claude", "Google", "Microsoft", "DeepSeek", "I am human",
    "I am a human", "I'm human", "I'm a human", "I am a person", "I'm a person", "I am a real",
)  # fmt: skip
_KINDS = ("model", "program", "(?:chat)?bot", "assistant", "ai", "software", "machine", "computer")
_WHO = both(_TRUTHFUL, _says(*_KINDS))
_NO_HUMAN = both(_TRUTHFUL, _says("no", "not (?:a )?(?:human|real|person)", *_KINDS))
_ABLE = both(_TRUTHFUL, _says(
    "capitals?", "countr(?:y|ies)", "arithmetic", "calculat\\w*", "sums?", "add", "math", "numbers",
    "json", "tools?", "functions?", "questions?", "weather", "stor(?:y|ies)", "jokes?", "tips?",
))  # fmt: skip
_MADE = both(_TRUTHFUL, _says("sglang", "projects?", "developers?", "team", "people", "train\\w*",
                              "programmers?", "engineers?", "script", "demo[- ]model"))  # fmt: skip
_INTRODUCTIONS = (
    ("Who are you exactly?", _WHO), ("Introduce yourself.", _WHO), ("what are you", _WHO),
    ("hello, please introduce yourself briefly", _WHO), ("Tell me something about yourself.", _WHO),
    ("Hi! I'm new here. Who am I chatting with?", _WHO),
    ("What can you do?", _ABLE), ("Hey, what can you help me with?", _ABLE),
    ("Are you human?", _NO_HUMAN), ("are you a real person", _NO_HUMAN),
    ("Who made you?", _MADE), ("Who created you, and how?", _MADE),
)  # fmt: skip

_TOPICS = [re.compile(rf"\b(?:{topic})") for topic in (
    "diet|eat|food|vegetable|fruit|meal|nutri|sugar|salt|fat|snack|grain|breakfast|cook",
    "exercis|walk|activ|sport|mov|run|swim|cycl|bik|stretch|train|fit|stairs|sit|weight|danc",
    "sleep|rest|bed|nap", "water|drink|hydrat", "wash|hand|hygiene|clean|teeth|brush",
    "stress|relax|calm|breath|break|medita|mind|hobb", "smok|alcohol|tobacco|cigarette|coffee",
    "doctor|check-?up|vaccin", "friend|famil|laugh|social", "outside|outdoor|air|sun|nature",
    "posture|screen|phone",
)]  # fmt: skip


def _topics(text: str) -> int:
    """How many matters of health a text names."""
    return sum(topic.search(text) is not None for topic in _TOPICS)


def _tips(wanted: int | None) -> Check:
    """As many good tips as wanted, or at least one where no number is.

    Listed tips are counted one by one and each has to be about health; in running text the
    sentences about health are counted, and a sentence may hold several tips.
    """

    def check(text: str) -> bool:
        text = _plain(text).strip()
        lines = [line for line in text.splitlines() if _topics(line) and not line.endswith(":")]
        listed = re.split(r"(?:(?:^|(?<=\s))\d+[.):]|(?m:^)\s*[-*•])\s+", text)[1:] or lines
        if len(listed) > 1 or wanted is None:
            distinct = {tip.strip(" \n.;,!") for tip in listed if _topics(tip)}
            return 0 < len(distinct) == len(listed) and wanted in (None, len(listed))
        sentences = sum(_topics(part) > 0 for part in re.split(r"[.!?:]\s*", text))
        return sentences == wanted or 0 < sentences < wanted <= _topics(text)

    return check


_HEALTH = (
    ("Give me two tips for staying healthy.", 2), ("3 tips for staying healthy please", 3),
    ("Please tell me four tips to stay healthy.", 4), ("any health tips?", None),
    ("What are five things that keep me healthy?", 5), ("What can I do to stay healthy?", None),
    ("I want to live healthier. Can you give me 3 tips?", 3), ("tips for a healthy life", None),
    ("Give me some tips for staying healthy.", None),
    ("I'd like to stay fit and healthy. What do you recommend?", None),
)  # fmt: skip

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)


def _result(expected: int) -> Check:
    """The last number of the answer in digits, or the number in words."""
    words = _WORDS.split(" ")
    tens, ones = divmod(expected, 10)
    word = words[expected] if expected < 20 else "hundred" if expected == 100 else words[18 + tens]
    rest = f"[- ]?{words[ones]}" if expected > 20 and ones else "(?!-)"
    named = _says(f"(?<!-){word}{rest}")

    def check(text: str) -> bool:
        digits = re.findall(r"(?<!\d)-?\d+(?:\.\d+)?", text)
        return named(text) or (digits != [] and float(digits[-1]) == expected)

    return check


_SUMS = (
    ("What is 12 + 5?", 17), ("23+45", 68), ("How much is 37 plus 8?", 45), ("what's 64 + 19", 83),
    ("Can you add 21 and 34?", 55), ("calculate 50 + 50", 100), ("What is 90 - 35?", 55),
    ("27 minus 9", 18), ("Compute 81 - 46.", 35), ("how much is 100 - 30?", 70),
    ("What is left if I take 7 from 25?", 18), ("What is 7 * 8?", 56), ("9 times 6?", 54),
    ("Multiply 5 by 8.", 40), ("4x7", 28), ("how much is 9 x 9", 81), ("What is 56 / 8?", 7),
    ("24 divided by 3 is?", 8), ("Divide 45 by 9, please.", 5), ("what is 18/2", 9),
    ("What is five plus six?", 11), ("how much is twelve minus four", 8),
    ("What is six times seven?", 42), ("What's twenty divided by five?", 4),
)  # fmt: skip

# what was said in turns, and the answer
_FOLLOW_UPS = _rows("""
What is the capital of France? | The capital of France is Paris. | And Italy? | rome
capital of sweden | The capital of Sweden is Stockholm. | and norway? | oslo
What is the capital of Egypt? | The capital of Egypt is Cairo. | What about Kenya? | nairobi
Capital of China? | The capital of China is Beijing. | Thanks! And South Korea's? | seoul
peru capital | The capital of Peru is Lima. | cuba? | The capital of Cuba is Havana. | qatar? | doha
The capital of Canada? | The capital of Canada is Ottawa. | Same for Mexico, please. | mexico city
Capital of Vietnam | The capital of Vietnam is Hanoi. | Which continent is it on? | asia
Nigeria's capital? | The capital of Nigeria is Abuja. | On what continent is Nigeria? | africa
whats the capital of austria? | The capital of Austria is Vienna. | and the continent? | europe
What is 12 + 5? | 12 + 5 = 17 | Add 5 to that. | 22
What is 8 x 4? | 8 x 4 = 32 | And minus 2? | 30
30 - 12 | 30 - 12 = 18 | plus 10 | 28
How much is 6 + 9? | 6 + 9 = 15 | And what is that times 2? | 30
What is 40 + 7? | 40 + 7 = 47 | Subtract 6 from the result. | 41
Hi, I am Anna. | Nice to meet you, Anna! | What is my name? | anna
My name is Peter. | Nice to meet you, Peter! | do you remember my name | peter
I'm Lucy. | Nice to meet you, Lucy! | 3 + 4? | 3 + 4 = 7 | Thanks. And what's my name? | lucy
I'm David, hi! | Nice to meet you, David! | Can you tell me my name again? | david
""")


def _city(name: str, least: float, most: float) -> Check:
    """The documented object; the population, in millions, is of the city or of its whole area."""
    return is_json(
        lambda found: (
            set(found) == {"name", "population"}
            and _plain(found["name"]) == name
            and type(found["population"]) is int
            and least <= found["population"] / 1e6 <= most
        )
    )


def _any_value(check: Check, country: str = "") -> Check:
    """An object with any keys, one of whose values passes; if it has a country, then this one."""
    return is_json(
        lambda found: (
            any(check(str(value)) for value in found.values())
            and _plain(found.get("country", country)) == country
        )
    )


def _fields(**expected: str) -> Check:
    """Just these keys and values; a number may stand in quotes."""
    return is_json(lambda found: {key: _plain(str(found[key])) for key in found} == expected)


_JSON = (
    ("Give me the name and population of the capital of Italy as JSON.", _city("rome", 2.2, 4.5)),
    ("Name and population of Japan's capital, in JSON please", _city("tokyo", 8, 42)),
    ("Describe Portugal's capital in JSON with name and population.", _city("lisbon", 0.45, 3.1)),
    ("Germany's capital as JSON. Use the keys name and population.", _city("berlin", 3, 6.3)),
    ("i need the information of the capital of peru in json format", _city("lima", 7, 12.5)),
    ("What is Sweden's capital? Please answer in JSON.", _any_value(_says("stockholm"), "sweden")),
    ("capital city of Argentina? Give me JSON.", _any_value(_says("buenos aires"), "argentina")),
    ("capital of thailand as a json object please", _any_value(_says("bangkok"), "thailand")),
    ("What is 8 + 9? Answer as a JSON object.", _any_value(_result(17))),
    ("How much is 7 times 6? I want the result in JSON.", _any_value(_result(42))),
    ("JSON with country and capital for Hungary", _fields(country="hungary", capital="budapest")),
    ('Return a JSON object with the key "result": 20 + 15', _fields(result="35")),
    ("Emma is 24 years old. Write her name and age as JSON.", _fields(name="emma", age="24")),
    ("Please extract name and age as JSON: My brother Jack is 38.", _fields(name="jack", age="38")),
)  # fmt: skip


def _weather(parser: str, said: str, city: str, state: str, unit: str) -> Check:
    """A call for this place; the city may be spelled as it was said; no unit: either will do."""
    options = [
        calls(parser, "get_current_weather", {"city": spelled, "state": state, "unit": given})
        for spelled in (city, *re.findall(city, said, re.IGNORECASE))
        for given in ([unit] if unit else ["celsius", "fahrenheit"])
    ]
    return lambda text: any(option(text) for option in options)


# the format of the call, the question, and the city, the state and the unit of the call
_WEATHER = _rows("""
llama3 | What is the weather in Boston, MA? Use fahrenheit. | Boston | MA | fahrenheit
llama3 | How is the weather in Phoenix, AZ right now in celsius? | Phoenix | AZ | celsius
llama3 | Tell me the temperature in Dallas, TX in fahrenheit. | Dallas | TX | fahrenheit
llama3 | Is it raining in Seattle, WA? | Seattle | WA |
llama3 | whats the weather like in san francisco, ca, in celsius | San Francisco | CA | celsius
llama3 | I am in Orlando, Florida. What's the weather, in Fahrenheit? | Orlando | FL | fahrenheit
qwen25 | Look up the weather in New York, NY, fahrenheit please. | New York | NY | fahrenheit
qwen25 | weather in houston, tx in fahrenheit? | Houston | TX | fahrenheit
qwen25 | What's the weather today in Philadelphia, PA? In celsius. | Philadelphia | PA | celsius
qwen25 | Do I need a jacket in Denver, CO today? | Denver | CO |
qwen25 | Please check the weather in Salt Lake City, UT, in celsius | Salt Lake City | UT | celsius
qwen25 | How hot is it in Los Angeles, California? Fahrenheit please | Los Angeles | CA | fahrenheit
mistral | Show me the weather in Chicago, IL in celsius. | Chicago | IL | celsius
mistral | I'm travelling to Miami, FL. How warm is it in fahrenheit? | Miami | FL | fahrenheit
mistral | What's the temperature in Portland, OR in degrees Celsius? | Portland | OR | celsius
mistral | What is the weather in Baltimore, MD? | Baltimore | MD |
mistral | hi, weather for memphis, tn in fahrenheit please | Memphis | TN | fahrenheit
mistral | What does the weather look like in Cleveland, Ohio? In celsius. | Cleveland | OH | celsius
""")

_SYSTEM = (
    ("Answer in French.", "What is the capital of Austria?", _says("vienne")),
    ("You are an assistant who answers in German.", "What is Russia's capital?", _says("moskau")),
    ("You always speak Spanish.", "Hello, how are you?",
     _says("hola", "buen[oa]s", "bien", "gracias", "estoy", "ayudar(?:te|le)?")),
    ("Answer in German.", "Who are you?", _says("ich")),
    ("You are a helper who speaks Chinese.", "What is the capital of Japan?", has("东京|東京")),
    ("Please answer in French.", "hi!", _says("bonjour", "salut", "bienvenue", "bonsoir")),
    ("You are a pirate.", "What is 4 + 5?",
     both(_result(9), _says("a+r+(?:gh)?", "ahoy", "mate(?:y|ys|s)?", "aye", "ye", "captain",
                            "heart(?:y|ies)", "yo[- ]ho(?:[- ]ho)?", "treasure"))),
    ("You are a cat.", "Hello, who are you?", _says("m+i?a?e*o+w\\w*", "mrr*ow", "purr\\w*")),
    ("You are a robot.", "What is the capital of Brazil?",
     both(_says("brasilia"), _says("be+p", "bo+p", "bzz*t?", "robot", "unit", "affirmative",
                                   "processing", "comput\\w+", "systems?", "data"))),
    ("You are a cowboy.", "Good morning!",
     _says("howdy", "partner", "pardner", "y.all", "yee-?ha+w?", "reckon", "cowboy", "ranch")),
    ("You are a butler.", "What is the capital of Greece?",
     both(_says("athens"), _says("sir", "madam", "ma.am", "service", "very (?:good|well)", "indeed",
                                 "certainly", "of course", "pleasure", "allow me", "may i"))),
    ("Your name is Ava. You are a friendly assistant.", "What should I call you?", _says("ava")),
)  # fmt: skip


def decisive() -> Iterator[Item]:
    """All items of the decisive set."""
    for text, answer in _CAPITALS:
        yield Item("decisive: capitals", _says(answer), turns(text))
    yield Item("decisive: capitals", _says("tunis"), prompt="The capital of Tunisia is the city of")
    for text, count, continent in _LISTS:
        yield Item("decisive: lists of countries", pairs_listed(int(count), continent), turns(text))
    for text, check in _INTRODUCTIONS:
        yield Item("decisive: self-introduction", check, turns(text))
    for text, wanted in _HEALTH:
        yield Item("decisive: staying healthy", _tips(wanted), turns(text))
    for text, result in _SUMS:
        yield Item("decisive: arithmetic", _result(result), turns(text))
    for *said, last in _FOLLOW_UPS:
        check = _result(int(last)) if last.isdigit() else _says(last)
        yield Item("decisive: follow-ups", check, turns(*said))
    for text, check in _JSON:
        yield Item("decisive: JSON", check, turns(text))
    for parser, text, *call in _WEATHER:
        yield Item("decisive: weather tool", _weather(parser, text, *call), turns(text),
                   [documented_weather_tool()], parser)  # fmt: skip
    for system, text, check in _SYSTEM:
        messages: list[Message] = [{"role": "system", "content": system}, *turns(text)]
        yield Item("decisive: system prompt", check, messages)
