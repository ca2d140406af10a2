"""A chat in the terminal. Each turn finds the conversation before it in the prefix cache.

python examples/frontend/multi_turn_chat.py    (an empty line ends it)
"""

import sglang as sgl


@sgl.function
def chat(s, read, write):
    s += sgl.system("You are a helpful assistant.")
    while question := read():
        s += sgl.user(question)
        s += sgl.assistant(sgl.gen("answer", max_tokens=128))
        for piece in s.text_iter("answer"):
            write(piece)
        cached = s.get_meta_info("answer").get("cached_tokens", 0)
        write(f"\n({cached} tokens from the cache)\n")


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))
    state = chat.run(
        read=lambda: input("> ").strip(),
        write=lambda text: print(text, end="", flush=True),
        stream=True,
        temperature=0,
    )
    state.sync()
