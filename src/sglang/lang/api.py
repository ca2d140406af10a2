"""The words of the language: what ``import sglang as sgl`` offers to write programs with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from sglang.lang import ir
from sglang.lang.choices import ChoicesMethod, token_length_normalized
from sglang.lang.default_backend import resolve_backend
from sglang.lang.function import Function
from sglang.lang.program_state import turn_of
from sglang.lang.sampling_params import GRAMMARS, SamplingParams

TYPE_PATTERNS: Mapping[Any, str] = {
    int: r"[-+]?[0-9]+",
    float: r"[-+]?[0-9]+(\.[0-9]+)?",
    bool: r"True|False",
    str: r'"[^"\\\n]*"',
}
"""The texts that ``gen(dtype=...)`` allows, as Python would write the values."""


@overload
def function(body: Callable[..., Any]) -> Function: ...


@overload
def function(
    body: None = None, *, num_api_spec_tokens: int | None = None
) -> Callable[[Callable[..., Any]], Function]: ...


def function(
    body: Callable[..., Any] | None = None, *, num_api_spec_tokens: int | None = None
) -> Function | Callable[[Callable[..., Any]], Function]:
    """Make a program of a function whose first argument is the program's state.

    Args:
        num_api_spec_tokens: Let the model write so many tokens ahead and take several gens out of
            one answer where it has followed the program, see ``sglang.lang.speculation``. The gens
            end at their ``stop``, or at the text that follows; their ``max_tokens`` are ignored.

    Raises:
        ValueError: num_api_spec_tokens is not above 0.
    """
    if num_api_spec_tokens is not None and num_api_spec_tokens < 1:
        raise ValueError(f"num_api_spec_tokens must be above 0, got {num_api_spec_tokens}")

    def make(body: Callable[..., Any]) -> Function:
        return Function(body, num_api_spec_tokens=num_api_spec_tokens)

    return make if body is None else make(body)


def gen(
    name: str | None = None,
    max_tokens: int | None = None,
    *,
    min_tokens: int | None = None,
    n: int | None = None,
    stop: str | Sequence[str] | None = None,
    stop_token_ids: Sequence[int] | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    min_p: float | None = None,
    frequency_penalty: float | None = None,
    presence_penalty: float | None = None,
    repetition_penalty: float | None = None,
    ignore_eos: bool | None = None,
    seed: int | None = None,
    return_logprob: bool | None = None,
    logprob_start_len: int | None = None,
    top_logprobs_num: int | None = None,
    return_text_in_logprobs: bool | None = None,
    dtype: type | str | None = None,
    choices: Sequence[str] | None = None,
    choices_method: ChoicesMethod | None = None,
    regex: str | None = None,
    json_schema: str | Mapping[str, Any] | type | None = None,
    ebnf: str | None = None,
) -> ir.Expr:
    """Text that the model writes here.

    Args:
        name: Under what name the state keeps it: ``s[name]``.
        n: Several texts to the same prompt: ``s[name]`` is their list, and the program goes on
            with the first.
        dtype: int, float, bool or str: text that Python would read as one. It stays a text.
        choices: Choose among these instead of writing freely; no sampling parameter applies.
        choices_method: How to choose; ``token_length_normalized`` if not given.
        json_schema: A JSON schema as text, as a dictionary, or a pydantic model.

    What is not given is as ``run`` says, and else as the backend does. The sampling parameters
    are those of the native API.

    Raises:
        ValueError: arguments that exclude each other, or choices that are no choice.
    """
    if choices is not None:
        if dtype is not None or any((regex, json_schema, ebnf)):
            raise ValueError("choices cannot be combined with dtype, regex, json_schema or ebnf")
        return select(name, choices, temperature or 0.0, choices_method)
    if choices_method is not None:
        raise ValueError("choices_method needs choices")
    if dtype is not None:
        if regex is not None:
            raise ValueError("only one of dtype and regex can be given")
        regex = _pattern(dtype)
    params = SamplingParams(
        max_new_tokens=max_tokens,
        min_new_tokens=min_tokens,
        n=n,
        stop=stop if stop is None or isinstance(stop, str) else tuple(stop),
        stop_token_ids=None if stop_token_ids is None else tuple(stop_token_ids),
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        min_p=min_p,
        frequency_penalty=frequency_penalty,
        presence_penalty=presence_penalty,
        repetition_penalty=repetition_penalty,
        ignore_eos=ignore_eos,
        seed=seed,
        regex=regex,
        json_schema=_schema_text(json_schema),
        ebnf=ebnf,
        return_logprob=return_logprob,
        logprob_start_len=logprob_start_len,
        top_logprobs_num=top_logprobs_num,
        return_text_in_logprobs=return_text_in_logprobs,
    )
    given = [field for field in GRAMMARS if getattr(params, field) is not None]
    if len(given) > 1:
        raise ValueError(f"only one of {' and '.join(given)} can be given")
    return ir.Gen(name, params)


def gen_int(name: str | None = None, max_tokens: int | None = None, **kwargs: Any) -> ir.Expr:
    """A whole number, as text; further arguments are those of :func:`gen`."""
    return gen(name, max_tokens, dtype=int, **kwargs)


def gen_string(name: str | None = None, max_tokens: int | None = None, **kwargs: Any) -> ir.Expr:
    """A text in double quotes, with them; further arguments are those of :func:`gen`."""
    return gen(name, max_tokens, dtype=str, **kwargs)


def select(
    name: str | None = None,
    choices: Sequence[str] | None = None,
    temperature: float = 0.0,
    choices_method: ChoicesMethod | None = None,
) -> ir.Select:
    """The one of ``choices`` that the model finds likeliest here, see ``choices_method``.

    Raises:
        ValueError: no choices, an empty one, one twice, or a temperature other than 0.
    """
    if isinstance(choices, str) or not choices:
        raise ValueError(f"choices must be a list of one string or more, got {choices!r}")
    if not all(isinstance(choice, str) and choice for choice in choices):
        raise ValueError(f"choices must be strings that are not empty, got {list(choices)!r}")
    if len(set(choices)) != len(choices):
        raise ValueError(f"choices must differ from each other, got {list(choices)!r}")
    if temperature != 0.0:
        raise ValueError(
            f"temperature must be 0 with choices, got {temperature}: they are not drawn"
        )
    return ir.Select(name, tuple(choices), choices_method or token_length_normalized)


def system(expr: ir.Expr | str) -> ir.Expr:
    """A turn of the system."""
    return turn_of("system", expr)


def user(expr: ir.Expr | str) -> ir.Expr:
    """A turn of the user."""
    return turn_of("user", expr)


def assistant(expr: ir.Expr | str) -> ir.Expr:
    """A turn of the assistant, usually with a gen in it."""
    return turn_of("assistant", expr)


def system_begin() -> ir.Expr:
    """What follows is said by the system, until :func:`system_end`."""
    return ir.RoleBegin("system")


def system_end() -> ir.Expr:
    """The system has spoken."""
    return ir.RoleEnd("system")


def user_begin() -> ir.Expr:
    """What follows is said by the user, until :func:`user_end`."""
    return ir.RoleBegin("user")


def user_end() -> ir.Expr:
    """The user has spoken."""
    return ir.RoleEnd("user")


def assistant_begin() -> ir.Expr:
    """What follows is said by the assistant, until :func:`assistant_end`."""
    return ir.RoleBegin("assistant")


def assistant_end() -> ir.Expr:
    """The assistant has spoken."""
    return ir.RoleEnd("assistant")


def image(source: str | bytes) -> ir.Expr:
    """An image: a file name, a URL, base64 text, or the bytes of a file."""
    return ir.Image(source)


def video(path: str, num_frames: int) -> ir.Expr:
    """A video file, of which ``num_frames`` frames are looked at."""
    return ir.Video(path, num_frames)


def separate_reasoning(expr: ir.Expr, model_type: str) -> ir.Expr:
    """Take the reasoning out of what the gens in ``expr`` write.

    The text goes on with the rest; the reasoning of ``gen("answer")`` is kept under
    ``answer_reasoning_content``. ``model_type`` is a name of ``--reasoning-parser``.

    Raises:
        ValueError: there is no gen in it.
    """
    parts = list(ir.flatten(expr))
    if not any(isinstance(part, ir.Gen) for part in parts):
        raise ValueError("separate_reasoning needs an expression with a gen in it")
    return ir.Row(
        tuple(
            ir.Gen(part.name, part.params, model_type) if isinstance(part, ir.Gen) else part
            for part in parts
        )
    )


def flush_cache(backend: Any = None) -> None:
    """Let the backend forget what it has cached."""
    resolve_backend(backend).flush_cache()


def get_server_info(backend: Any = None) -> dict[str, Any]:
    """How the server behind the backend is set up."""
    return resolve_backend(backend).get_server_info()


def _pattern(dtype: type | str) -> str:
    names = {kind.__name__: kind for kind in TYPE_PATTERNS}
    kind = names.get(dtype, dtype) if isinstance(dtype, str) else dtype
    if kind not in TYPE_PATTERNS:
        raise ValueError(f"dtype must be one of {', '.join(names)}, got {dtype!r}")
    return TYPE_PATTERNS[kind]


def _schema_text(schema: str | Mapping[str, Any] | type | None) -> str | None:
    if schema is None or isinstance(schema, str):
        return schema
    if isinstance(schema, Mapping):
        return json.dumps(schema)
    if hasattr(schema, "model_json_schema"):
        return json.dumps(schema.model_json_schema())
    raise ValueError(
        "json_schema must be a JSON text, a dictionary or a pydantic model, "
        f"got {type(schema).__name__}"
    )
