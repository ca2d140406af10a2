"""A program that lets the model choose a tool, runs it, and goes on with the result."""

import ast
import operator

import sglang as sgl

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid"}


def calculate(expression):
    """The value of sums and products, such as "17 + 25 * 2"."""

    def value(node):
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        return node.value

    return str(value(ast.parse(expression.strip(), mode="eval").body))


@sgl.function
def tool_use(s, question):
    s += "To answer this question: " + question + ". "
    s += "I need to use a " + sgl.gen("tool", choices=["calculator", "search engine"]) + ". "

    if s["tool"] == "calculator":
        s += "The math expression is " + sgl.gen("expression", regex=r"\d{1,3} [+*-] \d{1,3}")
        s["result"] = calculate(s["expression"])
    else:
        s += "The country to search for is " + sgl.gen("country", choices=list(CAPITALS))
        s["result"] = CAPITALS[s["country"]]
    s += ". The result is " + s["result"] + "."


if __name__ == "__main__":
    sgl.set_default_backend(sgl.RuntimeEndpoint("http://127.0.0.1:30000"))
    print(tool_use.run("What is 17 + 25?", temperature=0).text())
    print(tool_use.run("What is the capital of France?", temperature=0).text())
