"""Requests with a fixed answer, word facts, and honest answers to everything else."""

from __future__ import annotations

from .base import Exchange, any_name, lexicon, made_up_word
from .wording import Speaker, ask, capitalized, dressed, load, phrase, section, spin

TALK_TITLES = ("hello", "well", "thanks", "bye", "praise", "sad", "happy")
"""Small talk: said without the frames and trimmings of a question."""
HEALTH_TITLES = ("tips", "tips", "tips", "tips2", "tips5", "tip", "diet", "sport")


def fixed(rng: Speaker, path: str) -> Exchange:
    """A wording of a section and its answer."""
    answer = section(path).answer
    if path.split("/")[1] in TALK_TITLES:
        return phrase(rng, path), answer
    return ask(rng, path), answer


def introduction(rng: Speaker) -> Exchange:
    """Who the model is."""
    return fixed(rng, "identity/who")


def identity(rng: Speaker) -> Exchange:
    """What the model can do, who made it, and other questions about itself."""
    titles = [title for title in load("identity") if title not in (*TALK_TITLES, "who")]
    return fixed(rng, f"identity/{rng.choice(titles)}")


def talk(rng: Speaker) -> Exchange:
    """Greetings, thanks, goodbyes and moods."""
    question, answer = fixed(rng, f"identity/{rng.choice(TALK_TITLES)}")
    return question.lower() if rng.random() < 0.15 else question, answer


def health(rng: Speaker) -> Exchange:
    """Tips for staying healthy."""
    return fixed(rng, f"writing/{rng.choice(HEALTH_TITLES)}")


def knowledge(rng: Speaker) -> Exchange:
    """Short explanations and simple facts."""
    return fixed(rng, f"knowledge/{rng.choice(list(load('knowledge')))}")


def writing(rng: Speaker) -> Exchange:
    """Jokes, stories, poems and other short texts."""
    titles = [title for title in load("writing") if title not in HEALTH_TITLES]
    return fixed(rng, f"writing/{rng.choice(titles)}")


UNKNOWN = (
    "I do not know that. I am a tiny demo model: I can name capitals, do small arithmetic, write "
    "JSON, call tools and tell short stories."
)
_UNKNOWN = (
    "{who|when did somebody|which person} {invented|discovered|painted|wrote|made|found|designed} "
    "the {|first }$n?",
    "{what is|what was|tell me|do you know} the {price|weight|size|history|age|taste} of {a |the |"
    "my |}{$a |}$n{?|.}",
    "{how do I|how can I|how does one|how should I|teach me how to|what is the way to} {fix|build|"
    "cook|clean|paint|sell|draw|repair|grow|choose} {a|the|my} {$a |}$n?",
    "{why|when} {is|was|does|did} {the|a|my} $n {so $a|$a|break|move|begin}?",
    "{where can I|where do I|which shop lets me} {buy|find|see|sell} a {$a |}$n?",
    "{which|what} $n {is the best|should I buy|is cheaper|is the most famous}?",
    "{write|give me} {an essay|a long report|a lecture|a speech|a recipe} {about|on|with} {the |}"
    "$n.",
    "{is|are|does|will} {my|the|a} $n {$a|work|come back|be $a} {tomorrow|next year|in winter}?",
    "who {is|was|wrote|knows} $w $x?",
)


def unknown(rng: Speaker) -> Exchange:
    """Everything else gets an honest answer instead of babble."""
    roll = rng.random()
    if roll < 0.4:
        return ask(rng, "words/unknown"), UNKNOWN
    words = lexicon()
    fake = made_up_word(rng, rng.choice((2, 3)))
    thing = rng.choice(words["nouns"])
    if roll < 0.75:
        name = rng.choice((fake, fake.capitalize(), f"a {fake}", f"{any_name(rng)} {fake.title()}",
                           f"the theory of {thing}s", f"the history of the {thing}",
                           f"the {fake.title()} {thing}"))  # fmt: skip
        return ask(rng, "words/unknown_thing", x=name), UNKNOWN
    text = spin(rng, rng.choice(_UNKNOWN), n=thing, a=rng.choice(words["adjectives"]),
                w=any_name(rng), x=fake.capitalize())  # fmt: skip
    return dressed(rng, capitalized(text)), UNKNOWN


_OPPOSITES = (
    "hot cold,big small,up down,day night,fast slow,good bad,old young,happy sad,open closed,"
    "light dark,high low,long short,hard soft,left right,in out,early late,full empty,rich poor,"
    "strong weak,wet dry,black white,clean dirty,easy difficult,first last,true false,"
    "inside outside,above below,near far,loud quiet,thick thin,win lose,love hate,begin end,"
    "push pull,buy sell,give take,laugh cry,start stop,always never,beautiful ugly"
)
_PLURALS = (
    "cat cats,dog dogs,child children,mouse mice,foot feet,tooth teeth,man men,woman women,"
    "box boxes,bus buses,city cities,baby babies,leaf leaves,knife knives,goose geese,book books,"
    "fox foxes,house houses,wolf wolves,fish fish,sheep sheep,person people,country countries,"
    "car cars,tree trees,watch watches,story stories,half halves,apple apples,church churches"
)
_SOUNDS = (
    "dog woof,cat meow,cow moo,duck quack,sheep baa,pig oink,lion roar,frog ribbit,horse neigh,"
    "bee buzz,snake hiss,owl hoot,rooster cock-a-doodle-doo,mouse squeak"
)
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
]


def _pair(rng: Speaker, text: str) -> list[str]:
    return rng.choice(text.split(",")).split()


def words(rng: Speaker) -> Exchange:
    """Opposites, plurals, animal sounds, what comes next."""
    kind = rng.choice(("opposite", "opposite", "plural", "sound", "day", "month", "sequence"))
    if kind == "opposite":
        first, second = _pair(rng, _OPPOSITES)
        if rng.random() < 0.5:
            first, second = second, first
        return ask(rng, "words/opposite", w=first), f"The opposite of {first} is {second}."
    if kind == "plural":
        first, second = _pair(rng, _PLURALS)
        return ask(rng, "words/plural", w=first), f"The plural of {first} is {second}."
    if kind == "sound":
        first, second = _pair(rng, _SOUNDS)
        return ask(rng, "words/sound", w=first), f"A {first} says {second}."
    if kind == "sequence":
        start, step = rng.randint(0, 30), rng.choice((1, 2, 5, 10))
        shown = ", ".join(str(start + step * i) for i in range(3))
        return ask(rng, "words/sequence", s=shown), f"The next number is {start + 3 * step}."
    names = _DAYS if kind == "day" else _MONTHS
    place = rng.randrange(len(names))
    if kind == "month" and rng.random() < 0.3:
        question = ask(rng, "words/month", o=_ORDINALS[place])
        return question, f"The {_ORDINALS[place]} month is {names[place]}."
    if rng.random() < 0.5:
        question = ask(rng, "words/after", n=kind, d=names[place])
        return question, f"{names[(place + 1) % len(names)]} comes after {names[place]}."
    question = ask(rng, "words/before", n=kind, d=names[place])
    return question, f"{names[place - 1]} comes before {names[place]}."
