"""Several gens from one request to a chat API: the model writes ahead, the program reads along.

Without num_api_spec_tokens each gen would be a request of its own, and a chat model could not
generate within a turn at all.

export OPENAI_API_KEY=sk-...
python examples/frontend/openai_speculative.py
"""

import sglang as sgl


@sgl.function(num_api_spec_tokens=256)
def character(s):
    s += sgl.system("You write cards of characters, always in the same format.")
    s += sgl.user("Make a card.")
    s += sgl.assistant("Name: Ada Lovelace\nBirthday: December 10, 1815\nJob: mathematician\n")
    s += sgl.user("Make another card.")
    s += sgl.assistant(
        "Name:"
        + sgl.gen("name", stop="\n")
        + "\nBirthday:"
        + sgl.gen("birthday", stop="\n")
        + "\nJob:"
        + sgl.gen("job", stop="\n")
    )


if __name__ == "__main__":
    sgl.set_default_backend(sgl.OpenAI("gpt-4o-mini"))
    state = character.run()
    for name in ("name", "birthday", "job"):
        print(f"{name}: {state[name].strip()}")
