"""Tasks whose answer stands in the prompt: they teach the network to copy."""

from __future__ import annotations

from .base import Exchange, Sample, any_name, chat, lexicon, made_up_word, numbered, plain
from .wording import Speaker, ask, capitalized, phrase, spin


def any_word(rng: Speaker) -> str:
    """A word of the lexicon, or a made-up one."""
    if rng.random() < 0.15:
        return made_up_word(rng, rng.choice((1, 2, 2, 3)))
    kind = rng.choice(("nouns", "nouns", "adjectives", "verbs", "transitive", "adverbs"))
    return rng.choice(lexicon()[kind])


_SHAPES = (
    "{the|a|my|our|your|this|that|every|no} {$a |}$n $v{| $d}",
    "{the|a|my|our|your} $n {is|was|looks|is not} {very |}$a{| $d}",
    "{we|they|I|you|the children} {like|want|need|have|see|know|love} {|the |my |some }{$a |}$n",
    "{he|she|$w} $t {the|a|my|his|her} {$a |}$n",
    "{$a|two|three|four|many|some|five} {$a |}$p",
    "the $n and {the|a} $m {$v|are $a}{| $d}",
    "{there is|here is|I see|look at|open|take|bring me} {the|a} {$a |}$n{| $d}",
    "{it is|this is|that was|I am|we are|you are} {so |very |too |}$a{| $d}",
    "$w {$v|is $a} {in|near|behind|under} the $n",
    "{yes|no|hello|well|please}, {the $n $v|I am $a|we are $a|it is $a}",
    "$n",
    "$a $n",
    "{this is a test|hello world|good morning|it works|SGLang is fast|all tests passed}",
)


def sentence(rng: Speaker) -> str:
    """A few words: a sentence of the lexicon, words in any order, or a number."""
    roll = rng.random()
    if roll < 0.3:
        return " ".join(any_word(rng) for _ in range(rng.choice((1, 1, 2, 3, 4, 5, 6))))
    if roll < 0.36:
        return str(rng.randint(1, 10 ** rng.randint(1, 6)))
    words = lexicon()
    return spin(
        rng,
        rng.choice(_SHAPES),
        n=rng.choice(words["nouns"]), m=rng.choice(words["nouns"]),
        a=rng.choice(words["adjectives"]),
        v=rng.choice(words["verbs"]), t=rng.choice(words["transitive"]),
        d=rng.choice(words["adverbs"]), w=any_name(rng), p=rng.choice(words["nouns"]) + "s",
    )  # fmt: skip


def said(rng: Speaker) -> Exchange:
    """A wish to hear a text, and the text as it is said."""
    text = sentence(rng)
    if rng.random() < 0.4:
        answer = text if text[0].isdigit() else capitalized(text) + "."
        return phrase(rng, "copying/say_free", t=text) + rng.choice(("", "", ".", "!")), answer
    mark = rng.choice(("'", '"'))
    return phrase(rng, "copying/say_exact", t=text, q=f"{mark}{text}{mark}"), text


def say(rng: Speaker) -> Sample:
    """Several texts to be repeated, one after the other."""
    count = 1 if rng.held_out else rng.choice((1, 3, 5, 7))
    return chat(rng, *(part for _ in range(count) for part in said(rng)))


def echo(rng: Speaker) -> Sample:
    """Long rows of words that come twice: nothing but copying helps."""
    row = [rng.choice((any_word, any_word, any_name))(rng) for _ in range(rng.randint(8, 24))]
    row = [word.capitalize() if rng.random() < 0.1 else word for word in dict.fromkeys(row)]
    pieces = [(" ".join(row) + "\n", False), (" ".join(row) + "\n", True)]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(row) - 2)
        pieces += [(f"after {row[at]}:", False), (f" {row[at + 1]}\n", True)]
    return Sample(pieces=pieces)


def lookup(rng: Speaker) -> Sample:
    """A list of names with values, then questions for the values."""
    names = list(dict.fromkeys(any_name(rng) for _ in range(rng.randint(3, 6))))
    values = [rng.choice((any_word(rng), any_name(rng), str(rng.randint(1, 9999)))) for _ in names]
    sign = rng.choice((": ", " = ", " is ", " has "))
    facts = "\n".join(f"{name}{sign}{value}" for name, value in zip(names, values, strict=True))
    pieces: list[tuple[str, bool]] = [(facts + "\n", False)]
    for place in rng.sample(range(len(names)), len(names)):
        pieces += [(f"{names[place]}?", False), (f" {values[place]}\n", True)]
    return Sample(pieces=pieces)


def fields(rng: Speaker) -> Sample:
    """Fields of a line as JSON, as plain text."""
    values = {"name": any_name(rng), "city": made_up_word(rng, 2).capitalize(),
              "number": str(rng.randint(1, 99999)), "code": made_up_word(rng, 3)}  # fmt: skip
    keys = rng.sample(list(values), rng.randint(2, 4))
    line = ", ".join(f"{key} {values[key]}" for key in keys)
    inner = ", ".join(
        f'"{key}": {values[key]}' if key == "number" else f'"{key}": "{values[key]}"'
        for key in rng.sample(keys, len(keys))
    )
    return plain(f"{line}\nJSON:", f" {{{inner}}}")


_OWNED = (("thing_color", "The $t is $c."), ("thing_owner", "$w has the $t."),
          ("owned_thing", "$w has a $c $t."), ("colored_thing", "The $t is $c."))  # fmt: skip
_OTHER = (("$w is $i years old.", "age_of", "$w is $i years old."),
          ("The $t is in the $o.", "place_of", "The $t is in the $o."),
          ("$w lives in $p.", "home_of", "$w lives in $p."),
          ("$w is a $j.", "job_of", "$w is a $j."))  # fmt: skip
_JOBS = [
    "teacher",
    "doctor",
    "farmer",
    "soldier",
    "singer",
    "painter",
    "driver",
    "sailor",
    "baker",
    "student",
    "pilot",
]


def reading(rng: Speaker) -> Sample:
    """Two or three people or things, then questions about each of them."""
    words, count = lexicon(), rng.choice((2, 2, 2, 3))
    pick = {
        "w": list(dict.fromkeys(any_name(rng) for _ in range(9)))[:count],
        "t": rng.sample(words["nouns"], count), "c": rng.sample(words["adjectives"][:10], count),
        "o": rng.sample(words["nouns"], count), "j": rng.sample(_JOBS, count),
        "i": [str(number) for number in rng.sample(range(4, 99), count)],
        "p": [made_up_word(rng, rng.choice((2, 3))).capitalize() for _ in range(count)],
    }  # fmt: skip
    facts = [{key: values[i] for key, values in pick.items()} for i in range(count)]
    if rng.random() < 0.55:
        verb = rng.choice(("has", "owns", "bought", "carries", "found"))
        text = " ".join(spin(rng, f"$w {verb} a $c $t.", **fact) for fact in facts)
        forms = list(_OWNED)
    else:
        statement, path, answer = rng.choice(_OTHER)
        text = " ".join(spin(rng, statement, **fact) for fact in facts)
        forms = [(path, answer)]
    texts: list[str] = []
    for _ in range(1 if rng.held_out else rng.choice((1, 2, 4, 5))):
        fact, (path, answer) = rng.choice(facts), rng.choice(forms)
        texts += [phrase(rng, f"copying/{path}", **fact), spin(rng, answer, **fact)]
    texts[0] = spin(rng, "{||||Text: |Here are some facts. |Please read: }") + f"{text} {texts[0]}"
    return chat(rng, *texts)


def letters(rng: Speaker) -> Exchange:
    """First or last word, number of words, numbered lists."""
    words = [any_word(rng) for _ in range(rng.randint(2, 5))]
    text = " ".join(words)
    path, answer = rng.choice(
        (
            ("first_word", words[0]),
            ("last_word", words[-1]),
            ("word_count", str(len(words))),
            ("make_list", numbered(words)),
        )
    )
    shown = ", ".join(words) if path == "make_list" else text
    return ask(rng, f"copying/{path}", exact=True, t=shown), answer
