"""A program against an engine in the same process: no server, no HTTP.

python examples/frontend/quick_start/engine.py
"""

import sglang as sgl


@sgl.function
def question(s, country):
    s += sgl.user(f"What is the capital of {country}?")
    s += sgl.assistant(sgl.gen("answer", max_tokens=32))


if __name__ == "__main__":
    with sgl.Engine() as engine:
        sgl.set_default_backend(engine)
        print(question.run("France", temperature=0)["answer"])
