"""A conversation of two turns with any model that LiteLLM knows.

export GROQ_API_KEY=...
python examples/frontend/quick_start/litellm_chat.py

Needs the package litellm: pip install "sglang[litellm]".
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
    sgl.set_default_backend(sgl.LiteLLM("groq/llama-3.1-8b-instant"))

    state = multi_turn_question.run(
        question_1="What is the capital of France?",
        question_2="And what is the capital of Italy?",
        temperature=0,
    )
    for message in state.messages():
        print(message["role"], ":", message["content"])
