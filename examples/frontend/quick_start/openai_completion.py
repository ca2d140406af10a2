"""A completion model of the OpenAI API goes on with any text.

export OPENAI_API_KEY=sk-...
python examples/frontend/quick_start/openai_completion.py
"""

import sglang as sgl


@sgl.function
def few_shot_capital(s, country):
    s += "Q: What is the capital of Germany?\nA: Berlin\n"
    s += "Q: What is the capital of Spain?\nA: Madrid\n"
    s += f"Q: What is the capital of {country}?\nA:" + sgl.gen("answer", stop="\n", max_tokens=16)


if __name__ == "__main__":
    sgl.set_default_backend(sgl.OpenAI("gpt-3.5-turbo-instruct"))
    print(few_shot_capital.run("France", temperature=0)["answer"])
