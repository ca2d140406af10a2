"""Chain of thought: the model reasons first, then commits itself to an answer of the right form."""

import sglang as sgl


@sgl.function
def chain_of_thought(s, question):
    s += sgl.user(question + " Think step by step.")
    s += sgl.assistant(sgl.gen("reasoning", max_tokens=64))
    s += sgl.user(question)
    s += sgl.assistant(sgl.gen("sum", regex=r"\d{1,3} \+ \d{1,3} = \d{1,4}"))
    return int(s["sum"].split("=")[1])


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))

    state = chain_of_thought.run("What is 17 + 25?", temperature=0)
    print("reasoning:", state["reasoning"])
    print("answer:", state.ret_value)
