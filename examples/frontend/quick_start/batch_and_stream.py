"""The same program run once, streamed, and in a batch.

sglang serve
python examples/frontend/quick_start/batch_and_stream.py
"""

import sglang as sgl


@sgl.function
def question(s, country):
    s += sgl.user(f"What is the capital of {country}?")
    s += sgl.assistant(sgl.gen("answer", max_tokens=32))


def single():
    print(question.run("France", temperature=0)["answer"])


def stream():
    state = question.run("Italy", temperature=0, stream=True)
    for piece in state.text_iter("answer"):
        print(piece, end="", flush=True)
    print()


def batch():
    countries = ["Spain", "Japan", "Egypt", "Peru"]
    states = question.run_batch([{"country": country} for country in countries], temperature=0)
    for state in states:
        print(state["answer"])


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))
    single()
    stream()
    batch()
