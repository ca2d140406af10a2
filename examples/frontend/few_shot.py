"""Few-shot prompting: the model continues a list of examples.

A batch has its examples in common. They are sent to the server once, before the questions, and
computed once: the questions find them in the prefix cache.
"""

import sglang as sgl

EXAMPLES = [
    ("What is the capital of Germany?", "Berlin"),
    ("What is the capital of Norway?", "Oslo"),
    ("What is the capital of Japan?", "Tokyo"),
    ("What is the capital of Egypt?", "Cairo"),
]


@sgl.function
def few_shot(s, question):
    for asked, answered in EXAMPLES:
        s += f"Q: {asked}\nA: {answered}\n"
    s += "Q: " + question + "\nA:" + sgl.gen("answer", stop="\n", max_tokens=16)


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))

    countries = ["France", "Italy", "Spain", "Peru"]
    states = few_shot.run_batch(
        [{"question": f"What is the capital of {country}?"} for country in countries],
        temperature=0,
    )
    for country, state in zip(countries, states, strict=True):
        cached = state.get_meta_info("answer")["cached_tokens"]
        print(f"{country}: {state['answer'].strip()} ({cached} tokens from the cache)")
