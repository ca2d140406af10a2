"""A ReAct agent: thought, action and observation in turn until the model finishes.

See Yao et al. 2022, "ReAct: Synergizing Reasoning and Acting in Language Models".
"""

import sglang as sgl

PAGES = {
    "France": "France is a country in Europe. Its capital is Paris.",
    "Paris": "Paris is the capital of France. It has two million people.",
}

EXAMPLE = """\
Question: What is the capital of Italy?
Thought: I should look up Italy.
Action: search[Italy]
Observation: Italy is a country in Europe. Its capital is Rome.
Thought: I know the answer.
Action: finish[Rome]

"""


def search(topic):
    return PAGES.get(topic.strip(), "There is no page about that.")


@sgl.function
def react(s, question, max_steps=4):
    s += EXAMPLE + "Question: " + question + "\n"
    for _ in range(max_steps):
        s += "Thought:" + sgl.gen("thought", stop="\n", max_tokens=32) + "\n"
        s += "Action: " + sgl.gen("action", choices=["search", "finish"]) + "["
        s += sgl.gen("argument", regex="|".join(PAGES)) + "]\n"
        if s["action"] == "finish":
            return s["argument"]
        s += "Observation: " + search(s["argument"]) + "\n"
    return None


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))
    state = react.run("What is the capital of France?", temperature=0)
    print(state.text()[len(EXAMPLE) :])
    print("answer:", state.ret_value)
