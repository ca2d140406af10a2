"""A program that starts its own server and ends it.

python examples/frontend/quick_start/runtime.py
"""

import sglang as sgl


@sgl.function
def question(s, country):
    s += sgl.user(f"What is the capital of {country}?")
    s += sgl.assistant(sgl.gen("answer", max_tokens=32))


if __name__ == "__main__":
    # model_path="..." and other server arguments go here; without any it is the demo model.
    with sgl.Runtime() as runtime:
        sgl.set_default_backend(runtime)
        print(question.run("France", temperature=0)["answer"])
