"""Streams: by loop and by event loop, of a whole text and of one value; and stopping early."""

import asyncio

import sglang as sgl


@sgl.function
def two_answers(s, first, second):
    s += sgl.user(first) + sgl.assistant(sgl.gen("first", max_tokens=32))
    s += sgl.user(second) + sgl.assistant(sgl.gen("second", max_tokens=64))


QUESTIONS = ("What is the capital of France?", "Write a short story about a cat.")


def whole_text():
    for piece in two_answers.run(*QUESTIONS, stream=True, temperature=0).text_iter():
        print(piece, end="", flush=True)
    print()


async def one_value():
    state = two_answers.run(*QUESTIONS, stream=True, temperature=0)
    async for piece, meta_info in state.text_async_iter("second", return_meta_data=True):
        print(piece, end="", flush=True)
        tokens = meta_info["completion_tokens"]
    print(f"\n{tokens} tokens")


def stop_early():
    """Leaving the loop ends the program, and its request on the server."""
    state = two_answers.run(*QUESTIONS, stream=True, temperature=0)
    text = ""
    for piece in state.text_iter("second"):
        text += piece
        if len(text) > 20:
            break
    print("stopped after", repr(text))
    print("it says:", repr(state.error()))


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))
    whole_text()
    asyncio.run(one_value())
    stop_early()
