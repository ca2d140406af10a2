"""A conversation of two turns with a server.

sglang serve
python examples/frontend/quick_start/runtime_endpoint.py
"""

import sglang as sgl


@sgl.function
def multi_turn_question(s, question_1, question_2):
    s += sgl.system("You are a helpful assistant.")
    s += sgl.user(question_1)
    s += sgl.assistant(sgl.gen("answer_1", max_tokens=256))
    s += sgl.user(question_2)
    s += sgl.assistant(sgl.gen("answer_2", max_tokens=256))


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))

    state = multi_turn_question.run(
        question_1="What is the capital of France?",
        question_2="And what is the capital of Italy?",
        temperature=0,
    )
    for message in state.messages():
        print(message["role"], ":", message["content"])
