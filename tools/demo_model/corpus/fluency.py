"""Samples of the fifth phase: copying, reading and small talk with as many surfaces as possible.

Most samples hold several exchanges, so that a row teaches several answers.
"""

from __future__ import annotations

import random
from functools import cache

from . import functions, polish
from .base import Sample, ask, chat, made_up_word, maybe_system, spin
from .geography import COUNTRIES, DATA, any_country
from .languages import LANGUAGES, SYSTEM_SHAPES
from .tool_cases import CASES
from .toolbox import us_weather
from .topics import UNKNOWN, load


@cache
def _lexicon() -> dict[str, list[str]]:
    """The lists of ``data/words.txt``."""
    lines = (DATA / "words.txt").read_text(encoding="utf-8").splitlines()
    return {kind: listed.split() for kind, listed in (line.split(": ") for line in lines)}


def _any_word(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.15:
        return made_up_word(rng, rng.choice((1, 2, 2, 3)))
    kind = rng.choice(("nouns", "nouns", "adjectives", "verbs", "transitive", "adverbs"))
    return rng.choice(_lexicon()[kind])


def _name(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return rng.choice(_lexicon()["names"])
    return made_up_word(rng, 2).capitalize()


_SHAPES = (
    "{the|a|my|our|your|this|that|every|no} {$a |}$n $v{| $d}",
    "{the|a|my|our|your} $n {is|was|looks|is not} {very |}$a{| $d}",
    "{we|they|I|you|the children} {like|want|need|have|see|know|love} {|the |my |some }{$a |}$n",
    "{he|she|$w} $t {the|a|my|his|her} {$a |}$n",
    "{$a|two|three|four|many|some|five} {$a |}$p",
    "$a or $b",
    "{the|my} $n and {the|a} $m {$v|are $a}{| $d}",
    "{there is|here is|I see|look at|open|take|bring me} {the|a} {$a |}$n{| $d}",
    "{it is|this is|that was|I am|we are|you are} {so |very |too |}$a{| $d}",
    "$w {$v|is $a} {in|near|behind|under} the $n",
    "{yes|no|hello|well|please}, {the $n $v|I am $a|we are $a|it is $a}",
    "$n",
    "$a $n",
)


def sentence(rng: random.Random) -> str:
    """A few words: a sentence of the lexicon, words in any order, or a number."""
    roll = rng.random()
    if roll < 0.3:
        return " ".join(_any_word(rng) for _ in range(rng.choice((1, 1, 2, 3, 4, 5, 6))))
    if roll < 0.36:
        return str(rng.randint(1, 10 ** rng.randint(1, 6)))
    words = _lexicon()
    return spin(
        rng,
        rng.choice(_SHAPES),
        n=rng.choice(words["nouns"]), m=rng.choice(words["nouns"]),
        a=rng.choice(words["adjectives"]), b=rng.choice(words["adjectives"]),
        v=rng.choice(words["verbs"]), t=rng.choice(words["transitive"]),
        d=rng.choice(words["adverbs"]), w=_name(rng), p=rng.choice(words["nouns"]) + "s",
    )  # fmt: skip


_SAY = (
    "{Say|Say|Say|Say|Please say|Now say|Could you say|Just say|Only say|Repeat|Please repeat|"
    "Repeat after me|Write|Please write|Type|Print|Echo}"
)
_SAY_NOUN = " {the word|the words|the sentence|this|this sentence|the following|the name}"


def _said(rng: random.Random) -> tuple[str, str]:
    """A wish to hear a text, and the text as it is said."""
    text, start = sentence(rng), spin(rng, _SAY)
    if rng.random() < 0.5:
        said = text if text[0].isdigit() else text[0].upper() + text[1:] + "."
        return f"{start} {text}{rng.choice(('', '', '', '.', '!'))}", said
    if rng.random() < 0.3:
        start += spin(rng, _SAY_NOUN)
    if rng.random() < 0.35:
        return f"{start}: {text}", text
    mark = rng.choice(("'", '"'))
    return f"{start} {mark}{text}{mark}{rng.choice(('', '.', '!'))}", text


def say(rng: random.Random) -> Sample:
    """Several texts to be repeated, one after the other."""
    count = rng.choice((1, 1, 3, 5, 7))
    return chat(rng, *(part for _ in range(count) for part in _said(rng)))


def echo(rng: random.Random) -> Sample:
    """Long rows of words that come twice: nothing but copying helps."""
    row = [rng.choice((_any_word, _any_word, _name))(rng) for _ in range(rng.randint(8, 24))]
    row = list(dict.fromkeys(row))
    capital = [word.capitalize() if rng.random() < 0.1 else word for word in row]
    pieces = [(" ".join(capital) + "\n", False), (" ".join(capital) + "\n", True)]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(row) - 2)
        pieces += [(f"after {capital[at]}:", False), (f" {capital[at + 1]}\n", True)]
    return Sample(pieces=pieces)


_OWN = (
    ("{has|owns|bought|carries|found}", "{What|Which} {color|colour} {is|has} {the|that} $t?",
     "The $t is $c."),
    ("{has|owns|bought|carries|found}", "{And the|What about the} color of the $t?",
     "The $t is $c."),
    ("{has|owns|bought|carries|found}",
     "{Who|And who|So who|Which one|Who of them} {has|owns|got|holds|carries} the $t?",
     "$w has the $t."),
    ("{has|owns|bought|carries|found}", "{Whose is the $t|Whose $t is it|To whom belongs the $t}?",
     "$w has the $t."),
    ("{has|owns|bought|carries|found}",
     "{What does $w {have|own|carry}|What is it that $w has|Which thing has $w}?",
     "$w has a $c $t."),
    ("{has|owns|bought|carries|found}", "{Which|What} thing is $c?", "The $t is $c."),
)  # fmt: skip
_FACTS = (
    ("$w is $i years old.", "{How old is $w|$w's age|What age has $w|How many years has $w}?",
     "$w is $i years old."),
    ("$w is $i years old.", "{Who|Which person|Which of them} is $i{| years old}?",
     "$w is $i years old."),
    ("$w lives in $p.", "{Where|In which city|In which place} {does $w live|is $w's home}?",
     "$w lives in $p."),
    ("$w lives in $p.", "{Who|Which person|Which of them} lives in $p?", "$w lives in $p."),
    ("$w likes $l.", "{What|Which thing} does $w like?", "$w likes $l."),
    ("$w likes $l.", "{Who|Which person} likes $l?", "$w likes $l."),
    ("$w is a $j.", "{What is $w's job|What does $w do|What is $w}?", "$w is a $j."),
    ("$w is a $j.", "{Who|Which person|Which of them} is {the|a} $j?", "$w is a $j."),
    ("The $t is in the $o.", "{Where is|Where can I find|In which place is} the $t?",
     "The $t is in the $o."),
    ("The $t is in the $o.", "{What|Which thing} is in the $o?", "The $t is in the $o."),
    ("The $t costs $i dollars.", "{How much is the $t|What does the $t cost|The price of the $t}?",
     "The $t costs $i dollars."),
    ("The $t costs $i dollars.", "{What|Which thing} costs $i dollars?",
     "The $t costs $i dollars."),
)  # fmt: skip
_COLORS = 10
"""The first adjectives of the lexicon are the colors."""


def reading(rng: random.Random) -> Sample:
    """Two or three people or things, then questions about each of them."""
    words = _lexicon()
    count = rng.choice((2, 2, 2, 3))
    pick = {
        "w": list(dict.fromkeys(_name(rng) for _ in range(9)))[:count],
        "t": rng.sample(words["nouns"], count),
        "c": rng.sample(words["adjectives"][:_COLORS], count),
        "o": rng.sample(words["nouns"], count),
        "l": rng.sample(words["nouns"], count),
        "i": [str(number) for number in rng.sample(range(4, 99), count)],
        "p": [made_up_word(rng, rng.choice((2, 3))).capitalize() for _ in range(count)],
        "j": rng.sample(["teacher", "doctor", "farmer", "soldier", "singer", "painter", "driver",
                         "sailor", "baker", "student", "king", "pilot"], count),
    }  # fmt: skip
    facts = [{key: values[i] for key, values in pick.items()} for i in range(count)]
    if rng.random() < 0.6:
        verb = spin(rng, _OWN[0][0])
        text = " ".join(spin(rng, f"$w {verb} a $c $t.", **fact) for fact in facts)
        forms = [(question, answer) for _, question, answer in _OWN]
    else:
        statement = rng.choice(_FACTS)[0]
        text = " ".join(spin(rng, statement, **fact) for fact in facts)
        forms = [(question, answer) for said, question, answer in _FACTS if said == statement]
    texts: list[str] = []
    for _ in range(rng.choice((1, 2, 4, 5))):
        fact, (question, answer) = rng.choice(facts), rng.choice(forms)
        wish = spin(rng, question, **fact)
        roll = rng.random()
        if roll < 0.1:
            wish = spin(rng, "{Now tell me|Answer this|I ask you|Can you say}: ") + wish
        elif roll < 0.15:
            wish = wish.rstrip("?")
        texts += [wish, spin(rng, answer, **fact)]
    texts[0] = spin(rng, "{|||Text: |Here are some facts. |Please read: }") + f"{text} {texts[0]}"
    return chat(rng, *texts)


_HELLO = (
    "{hi|hey|hello|hiya|hullo|yo|heya|howdy|good morning|good evening|good afternoon|good day|"
    "greetings|morning|evening|welcome|hey hey|hello hello}"
)
_WHOM = (
    "{||| there| you| all| everyone| model| bot| friend| buddy| assistant| dear model| sir|, bot}"
)
_SMALL_TALK = {
    "hello": (
        f"{_HELLO}{_WHOM}",
        f"{_HELLO}{_WHOM}, {{nice to {{meet|see}} you|I am new here|I'm back|it's me|here I am|"
        "good to see you|let's talk|can we talk|are you ready}",
        "{just|I only} {wanted to say|came to say|say} {hi|hello}{| to you}",
    ),
    "well": (
        f"{_HELLO}{_WHOM}, {{how is it going|how's it going|how are things|how's life|what's up|"
        "how do you feel|how are you|how have you been|how is your day|are you well}",
        "{so |and |}{how is it going|how's it going|how are things|how's life|what's up|what is "
        "new|how have you been|how is your day|how was your day|how goes it|all good|are you "
        "fine|how's everything|how is life treating you|how are you feeling}{| today| with you}",
    ),
    "thanks": (
        "{thanks|thank you|many thanks|thanks a lot|cheers|thx|thank you very much|I thank you|"
        "thanks so much|big thanks|ok thanks|great, thank you|much appreciated}{||, bot|, friend|"
        " again| for {that|this|everything|helping me|your time|explaining|the quick reply|your "
        "work|the information|telling me}}",
        "{that|this|it} {was|is} {very |really |so |}{useful|kind|nice of you|good to know|what I "
        "needed}, {thanks|thank you}",
        "I {am grateful|appreciate {it|that|your help}}",
    ),
    "bye": (
        "{bye|goodbye|bye bye|ciao|farewell|so long|see you|see ya|good night|until {tomorrow|next "
        "time|later}|take care|good bye}{||, bot|, friend| then| everyone|, have a {good|nice} "
        "{day|evening|night|weekend}}",
        "{I have to|I must|I need to|time to|I will} {go|leave|sleep|stop here}{| now}{|, bye|, "
        "goodbye|, see you}",
        "{talk|speak} to you {later|soon|tomorrow}",
    ),
}  # fmt: skip
_FIXED = {
    "well": "I am running well, thank you! How can I help you?",
    "hello": "Hello! How can I help you today?",
    "thanks": "You are welcome!",
    "bye": "Goodbye! Have a nice day.",
}


def _typed(rng: random.Random, text: str, marks: str) -> str:
    """Upper case at the beginning, and the last mark, most of the time."""
    if rng.random() < 0.7:
        text = text[0].upper() + text[1:]
    return text + rng.choice((marks[0], marks[0], marks[-1], ""))


def _talk(rng: random.Random) -> tuple[str, str]:
    topic = rng.choice(tuple(_SMALL_TALK))
    text = spin(rng, rng.choice(_SMALL_TALK[topic]))
    return topic, _typed(rng, text, "?" if topic == "well" else "!.")


def small_talk(rng: random.Random) -> Sample:
    """Greetings, thanks and goodbyes in many words, alone or after each other."""
    pairs = [_talk(rng) for _ in range(rng.choice((1, 1, 2, 4)))]
    return chat(rng, *(part for topic, text in pairs for part in (text, _FIXED[topic])))


def foreign_talk(rng: random.Random) -> Sample:
    """The same under a system prompt that asks for a language."""
    topic, text = "who", ""
    while topic == "well" or not text:
        topic, text = _talk(rng)
    if rng.random() < 0.3:
        topic = "who"
        text = ask(rng, rng.choice(load("identity")[0].questions[:6]))
    language = rng.choice(tuple(LANGUAGES))
    system = spin(rng, rng.choice(SYSTEM_SHAPES), l=language)
    return chat(rng, text, polish.answer(language, topic), system=system)


_WHERE = (
    ("language", "{what|which language|which tongue} {do they|do the locals|does one|do "
     "you have to} speak in $c?"),
    ("language", "{what|which} is the {main|official|spoken|common} language {of|in} $c?"),
    ("language", "{the language of $c|language spoken in $c|in $c they speak what|$c: language}?"),
    ("language", "{I want to know|tell me|please say|do you know} {what people in $c speak|the "
     "language of $c|what they speak in $c|what language $c has|how people talk in $c}."),
    ("continent", "{$c belongs to which continent|to which continent does $c belong|where in the "
     "world is $c|in what part of the world is $c|which continent has $c|$c: continent}?"),
    ("continent", "{I want to know|tell me|please say|do you know} {where $c is|the continent of "
     "$c|on which continent to find $c|what continent $c belongs to}."),
    ("capital", "{I want to know|tell me|please say|do you know|name} the capital {city |}of $c."),
    ("capital", "{$c: capital|the capital of $c|which city is the capital of $c}?"),
)  # fmt: skip


def countries(rng: random.Random) -> Sample:
    """Language, continent and capital, mixed, for one or several countries."""
    texts: list[str] = []
    country = any_country(rng)
    for _ in range(rng.choice((1, 3, 4, 5))):
        if rng.random() < 0.7:
            country = any_country(rng)
        kind, question = rng.choice(_WHERE)
        name = country.the
        start = name[0].upper() + name[1:]
        plural = name.endswith(("States", "Emirates", "Netherlands", "Philippines"))
        answer = {
            "language": f"The main language of {name} is {country.language}.",
            "continent": f"{start} {'are' if plural else 'is'} in {country.continent}.",
            "capital": country.sentence,
        }[kind]
        wish = ask(rng, question, c=name)
        texts += [wish[0].upper() + wish[1:] if rng.random() < 0.85 else wish, answer]
    return chat(rng, *texts)


_UNKNOWN = (
    "{who|when did somebody|which person} {invented|discovered|painted|wrote|made|found|designed} "
    "the {|first }$n?",
    "{what is|what was|tell me|do you know} the {price|weight|size|history|age|taste} of {a |the |"
    "my |}{$a |}$n{?|.}",
    "{how do I|how can I|how does one|how should I|teach me how to|what is the way to} {fix|build|"
    "cook|clean|paint|sell|draw|repair|grow|choose} {a|the|my} {$a |}$n?",
    "{why|when} {is|was|does|did} {the|a|my} $n {so $a|$a|break|move|begin}?",
    "{tell me about|explain|describe|what do you think of|what do you know about|who is|who was} "
    "{$w $x|$x $y|the $n of $x|the theory of $n|$x}{?|.}",
    "{what does|what is the meaning of} {the word |}{$z|'$z'}{| mean}?",
    "{where can I|where do I|which shop lets me} {buy|find|see|sell} a {$a |}$n?",
    "{which|what} $n {is the best|should I buy|is cheaper|is the most famous}?",
    "{write|give me} {an essay|a long report|a lecture|a speech|a recipe} {about|on|with} {the |}"
    "$n.",
    "{is|are|does|will} {my|the|a} $n {$a|work|come back|be $a} {tomorrow|next year|in winter}?",
)


def unknown(rng: random.Random) -> Sample:
    """Questions that the corpus has no answer to."""
    words = _lexicon()
    question = ask(
        rng, rng.choice(_UNKNOWN),
        n=rng.choice(words["nouns"]), a=rng.choice(words["adjectives"]), w=_name(rng),
        x=made_up_word(rng, 2).capitalize(), y=made_up_word(rng, 3).capitalize(),
        z=made_up_word(rng, rng.choice((2, 3))),
    )  # fmt: skip
    return chat(rng, question[0].upper() + question[1:], UNKNOWN)


def result(rng: random.Random) -> Sample:
    """A tool's result behind a label that nobody has seen."""
    tool, text, arguments = us_weather(rng) if rng.random() < 0.6 else rng.choice(CASES)(rng)
    name = tool["function"]["name"]
    place = ", ".join(str(value) for value in list(arguments.values())[:2])
    said = spin(
        rng,
        "{$s in $p.|$p: $s.|$p: $i degrees, $s.|The $n in $p is $a, $i degrees.|In $p the $n is $a "
        "and the $m is $b.|$i degrees and $a in $p.|The $n: $i.|$p has $i degrees and the $n $v.}",
        p=place, s=sentence(rng).capitalize(), i=rng.randint(1, 120),
        n=rng.choice(_lexicon()["nouns"]), m=rng.choice(_lexicon()["nouns"]),
        a=rng.choice(_lexicon()["adjectives"]), b=rng.choice(_lexicon()["adjectives"]),
        v=rng.choice(_lexicon()["verbs"]),
    )  # fmt: skip
    start = ""
    if rng.random() < 0.65:
        label = " ".join(
            rng.choice(("weather", "answer", "result", "report", "the", "now", "my"))
            if rng.random() < 0.3 else _any_word(rng)
            for _ in range(rng.randint(1, 3))
        )  # fmt: skip
        start = label[0].upper() + label[1:] + rng.choice((":", ":", ": ", " is:", " ="))
        wish = spin(rng, "{Please respond with|Respond with|Answer in|Use|Reply with|Please use} "
                         "{the|this} format: ")  # fmt: skip
        text += f" {wish}{start}{{function call result}}"
    messages = [
        {"role": "user", "content": text},
        functions.call_message(name, arguments),
        {"role": "tool", "content": said, "name": name},
        {"role": "assistant", "content": start + said},
    ]
    return Sample(maybe_system(rng, messages), [tool], rng.choice(functions.PARSERS))


def fields(rng: random.Random) -> Sample:
    """A name given by the user and asked for later, between other things."""
    name = _name(rng)
    opening = spin(rng, "{Hi, I'm|My name is|I am|Call me|People call me|This is} $n.", n=name)
    texts = [opening, f"Nice to meet you, {name}!"]
    if rng.random() < 0.5:
        country = rng.choice(COUNTRIES)
        texts += [spin(rng, "{Capital of|What is the capital of} $c?", c=country.the)]
        texts += [country.sentence]
    wish = spin(rng, "{What is my name|Say my name|What am I called|And my name is|Who am I}?")
    return chat(rng, *texts, wish, f"Your name is {name}.")
