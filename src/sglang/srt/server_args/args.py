"""Every option of the server, once.

The command line, configuration files, the offline engine's keywords, ``/get_server_info`` and
``docs/server-arguments.md`` all derive from the fields of :class:`ServerArgs`. What is
declared with ``planned`` is refused unless it keeps its default: building a feature ends with
turning that into ``option``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sglang.srt.server_args.model_options import ModelOptions
from sglang.srt.server_args.option import (
    Option,
    Section,
    ServerArgsError,
    did_you_mean,
    options_of,
)
from sglang.srt.server_args.serving_options import ServingOptions

PARALLEL = Section("Parallelism")
MEMORY = Section("Memory and scheduling")
RUNTIME = Section("Other runtime options")
MULTI_NODE = Section("Multi-node distributed serving")
LORA = Section("LoRA")
KERNELS = Section("Kernel backend")
GRAMMAR = Section("Constrained decoding")
SPECULATIVE = Section("Speculative decoding")
SPARSITY = Section("Double sparsity")
DEBUG = Section("Debug options")
OPTIMIZATION = Section("Optimization")

DEMO_MODEL_NAME = "demo"
"""The name under which the built-in model is served unless another is given."""

_MASK = "********"


@dataclass(frozen=True)
class ServerArgs(ServingOptions, ModelOptions):
    """The options of a server or an offline engine, checked.

    Those of the model and of serving are declared in the two parts.

    Making one checks every value and raises :class:`ServerArgsError` (a ``ValueError``) naming
    option, value and limit. Options that follow from others when they are not given are filled
    in, so readers never see ``None`` in ``model_path``, ``tokenizer_path``,
    ``served_model_name`` or ``log_level_http``.
    """

    # ---- Parallelism -----------------------------------------------------------------
    tp_size: int = PARALLEL.planned(
        1,
        "Devices that share the weights (tensor parallelism).",
        aliases=("--tensor-parallel-size", "--tp"),
        minimum=1,
    )
    dp_size: int = PARALLEL.planned(
        1,
        "Copies of the model (data parallelism).",
        aliases=("--data-parallel-size", "--dp"),
        minimum=1,
    )
    load_balance_method: str = PARALLEL.planned(
        "round_robin",
        "How requests are spread over the copies.",
        choices=("round_robin", "shortest_queue"),
    )
    ep_size: int = PARALLEL.planned(
        1,
        "Devices that share the experts of a mixture-of-experts model.",
        aliases=("--expert-parallel-size", "--ep"),
        minimum=1,
    )

    # ---- Memory and scheduling -------------------------------------------------------
    mem_fraction_static: float | None = MEMORY.option(
        None,
        "Fraction of the device's free memory for weights and KV cache; lower it when memory "
        "runs out.",
        above=0,
        below=1,
        default_text="automatic (0.9 on a GPU)",
    )
    max_running_requests: int | None = MEMORY.option(
        None, "The most requests that run at once.", minimum=1, default_text="automatic"
    )
    max_total_tokens: int | None = MEMORY.option(
        None, "The most tokens in the KV cache.", minimum=1, default_text="automatic"
    )
    chunked_prefill_size: int | None = MEMORY.option(
        None,
        "The most prompt tokens in one step; longer prompts are taken in chunks. -1: whole.",
        minimum=1,
        also=(-1,),
        default_text="automatic",
    )
    max_prefill_tokens: int = MEMORY.option(
        16384,
        "Budget of prompt tokens in one prefill batch; at least the context length.",
        minimum=1,
    )
    schedule_policy: Literal["lpm", "random", "fcfs", "dfs-weight"] = MEMORY.option(
        "lpm",
        "Order of the waiting requests. lpm: longest cached prefix first; dfs-weight: depth "
        "first through the cache; fcfs: first come first served.",
    )
    schedule_conservativeness: float = MEMORY.option(
        1.0,
        "How much memory is kept back for running requests. Larger: fewer retractions, smaller "
        "batches.",
        above=0,
        maximum=100,
    )
    cpu_offload_gb: int = MEMORY.planned(
        0, "Gigabytes of weights to keep in the host's memory.", minimum=0
    )
    prefill_only_one_req: bool = MEMORY.option(False, "Prefill one request at a time.")

    # ---- Other runtime options -------------------------------------------------------
    stream_interval: int = RUNTIME.option(
        1, "Tokens between two chunks of a streamed answer.", minimum=1
    )
    random_seed: int | None = RUNTIME.option(
        None,
        "Seed for requests that bring none.",
        minimum=0,
        maximum=2**63 - 1,
        default_text="a new one at each start",
    )
    watchdog_timeout: float = RUNTIME.option(
        300.0, "Seconds after which a hanging step ends the server.", above=0
    )
    download_dir: str | None = RUNTIME.option(
        None, "Folder for downloaded models.", default_text="the hub's own cache"
    )
    base_gpu_id: int = RUNTIME.planned(0, "The first GPU to use.", minimum=0)
    allow_auto_truncate: bool = RUNTIME.option(
        False, "Cut prompts that are too long instead of refusing them."
    )

    # ---- Multi-node distributed serving ----------------------------------------------
    dist_init_addr: str | None = MULTI_NODE.planned(
        None,
        "Address at which the nodes meet, for example 192.168.0.2:25000.",
        aliases=("--nccl-init-addr",),
    )
    nnodes: int = MULTI_NODE.planned(1, "Number of nodes.", minimum=1)
    node_rank: int = MULTI_NODE.planned(0, "Rank of this node among them.", minimum=0)

    # ---- LoRA ------------------------------------------------------------------------
    lora_paths: list[str] | None = LORA.planned(None, "Adapters to serve, as PATH or NAME=PATH.")
    max_loras_per_batch: int = LORA.planned(
        8, "The most adapters in one batch, the base model included.", minimum=1
    )
    lora_backend: str = LORA.planned(
        "triton", "Kernels for the adapters.", choices=("triton", "flashinfer")
    )

    # ---- Kernel backend --------------------------------------------------------------
    attention_backend: str = KERNELS.option(
        "auto",
        "Kernels. cpu: in C, compiled at first use; triton: for GPUs; torch_native: the plain "
        "PyTorch reference. auto takes the fastest that works.",
        choices=("auto", "cpu", "triton", "torch_native"),
        planned=("flashinfer",),
    )
    sampling_backend: str = KERNELS.already(
        "pytorch", "Sampling kernels.", choices=("pytorch",), planned=("flashinfer",)
    )

    # ---- Constrained decoding --------------------------------------------------------
    grammar_backend: str = GRAMMAR.option(
        "auto",
        "Library that enforces JSON schemas, regular expressions and grammars. What xgrammar and "
        "outlines cannot enforce, llguidance does; none refuses such requests.",
        choices=("auto", "llguidance", "xgrammar", "outlines", "none"),
        default_text="llguidance",
    )
    constrained_json_whitespace_pattern: str | None = GRAMMAR.option(
        None,
        "Regular expression of the white space allowed between the parts of a JSON document, for "
        "example '[ \\n\\t]*'.",
        default_text="a space after each comma and colon",
    )

    # ---- Speculative decoding --------------------------------------------------------
    speculative_algorithm: str | None = SPECULATIVE.planned(
        None, "Speculative decoding algorithm.", choices=("EAGLE",)
    )
    speculative_draft_model_path: str | None = SPECULATIVE.planned(
        None, "The draft model: a folder or a hub name."
    )
    speculative_num_steps: int = SPECULATIVE.planned(
        5, "Draft passes before a verification.", minimum=1
    )
    speculative_num_draft_tokens: int = SPECULATIVE.planned(
        64, "Tokens proposed in a draft.", minimum=1
    )
    speculative_eagle_topk: int = SPECULATIVE.planned(
        8, "Candidates kept at each step of a draft.", minimum=1
    )

    # ---- Double sparsity -------------------------------------------------------------
    enable_double_sparsity: bool = SPARSITY.planned(
        False, "Attend to the most important channels and tokens only."
    )
    ds_channel_config_path: str | None = SPARSITY.planned(
        None, "File that lists the important channels."
    )
    ds_heavy_channel_num: int = SPARSITY.planned(32, "Channels to keep in a layer.", minimum=1)
    ds_heavy_token_num: int = SPARSITY.planned(
        256, "Tokens to attend to in a decode step.", minimum=1
    )
    ds_heavy_channel_type: str = SPARSITY.planned(
        "qk", "The kind of the important channels.", choices=("q", "k", "qk")
    )
    ds_sparse_decode_threshold: int = SPARSITY.planned(
        4096, "Longest sequence from which on a batch decodes sparsely.", minimum=1
    )

    # ---- Debug options ---------------------------------------------------------------
    disable_radix_cache: bool = DEBUG.option(
        False, "Do not reuse the KV cache of earlier requests."
    )
    disable_jump_forward: bool = DEBUG.option(
        False, "Sample also the tokens that a grammar leaves no choice about."
    )
    disable_cuda_graph: bool = DEBUG.option(
        False, "On a GPU, start each kernel of a decode step by itself. A CPU has no CUDA graphs."
    )
    disable_cuda_graph_padding: bool = DEBUG.option(
        False,
        "On a GPU, use a CUDA graph only for a batch of just its size. A CPU has no CUDA graphs.",
    )
    disable_outlines_disk_cache: bool = DEBUG.already(
        False, "Keep no grammars on disk; so already."
    )
    disable_custom_all_reduce: bool = DEBUG.already(
        False, "Use no all-reduce kernel of our own; so already."
    )
    disable_mla: bool = DEBUG.planned(
        False, "Keep keys and values of every head instead of latent rows."
    )
    disable_overlap_schedule: bool = DEBUG.already(
        False, "Do not prepare a batch while another runs; so already."
    )
    disable_cpu_plan: bool = DEBUG.option(
        False, "On a CPU, call each operation from Python instead of replaying them from C."
    )
    enable_nan_detection: bool = DEBUG.planned(False, "Warn when logits are not numbers.")
    enable_p2p_check: bool = DEBUG.planned(False, "Check that GPUs can read each other's memory.")
    triton_attention_reduce_in_fp32: bool = DEBUG.option(
        False,
        "In Triton kernels, keep what attention found in parts of the KV in float32. Other kernels "
        "always do.",
    )

    # ---- Optimization ----------------------------------------------------------------
    enable_mixed_chunk: bool = OPTIMIZATION.already(
        False, "Mix prefill and decode in one batch; always so."
    )
    enable_dp_attention: bool = OPTIMIZATION.planned(
        False, "Data-parallel attention for DeepSeek models."
    )
    enable_ep_moe: bool = OPTIMIZATION.planned(
        False, "Expert parallelism for mixture-of-experts models."
    )
    enable_torch_compile: bool = OPTIMIZATION.planned(
        False, "Compile the model with torch.compile."
    )
    torch_compile_max_bs: int = OPTIMIZATION.planned(
        32, "The largest batch to compile for.", minimum=1
    )
    cuda_graph_max_bs: int | None = OPTIMIZATION.option(
        None,
        "The largest batch with a CUDA graph; nothing on a CPU.",
        minimum=1,
        default_text="256, or --max-running-requests if that is less",
    )
    cuda_graph_bs: list[int] | None = OPTIMIZATION.option(
        None,
        "The batch sizes with a CUDA graph; nothing on a CPU.",
        minimum=1,
        default_text="1, 2, 4, and every eighth",
    )
    torchao_config: str = OPTIMIZATION.option(
        "",
        "Quantize the weights while loading, by torchao's names but without torchao. int8dq: 8-bit "
        "weights, 8-bit activations with a scale a token. int8wo: 8-bit weights, activations "
        "with 16 bits. int4wo-GROUP: 4-bit weights with a scale for each GROUP inputs of an "
        "output channel, on a CPU with 8-bit activations that have a scale for each GROUP inputs "
        "as well; the output matrix has 8 bits.",
        choices=("int8dq", "int8wo", "int4wo-32", "int4wo-64", "int4wo-128", "int4wo-256"),
        planned=("fp8wo", "fp8dq-per_tensor", "fp8dq-per_row"),
        default_text="none",
    )
    triton_attention_num_kv_splits: int = OPTIMIZATION.option(
        8,
        "The most parts into which Triton kernels split the KV of a sequence that decodes; other "
        "kernels choose for themselves.",
        minimum=1,
        maximum=256,
    )

    def __new__(cls, *args: Any, **options: Any) -> ServerArgs:
        """Names an unknown keyword and its closest match before ``__init__`` sees it."""
        for name in options:
            _option_named(name)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        values = {option.name: option.check(getattr(self, option.name)) for option in OPTIONS}
        for name, value in _completed(values).items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_cli(cls, argv: Sequence[str], prog: str = "sglang serve") -> ServerArgs:
        """The options on a command line (without the program's name).

        Prints help and exits with 0, or prints what is wrong and exits with 2, like argparse.
        """
        from sglang.srt.server_args.command_line import parse_command_line

        return parse_command_line(argv, prog)

    def to_dict(self) -> dict[str, Any]:
        """Every option by name, fit to be shown: secrets are masked."""
        values = asdict(self)
        for option in OPTIONS:
            if option.facts.secret and values[option.name] is not None:
                values[option.name] = _MASK
        return values

    def to_json(self) -> str:
        """Every option but the secrets, for the engine process, which needs none."""
        values = asdict(self)
        for option in OPTIONS:
            if option.facts.secret:
                del values[option.name]
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> ServerArgs:
        """The inverse of :meth:`to_json`; checks everything again."""
        return cls(**json.loads(text))


OPTIONS: tuple[Option, ...] = options_of(ServerArgs)
_BY_NAME = {option.name: option for option in OPTIONS}


def _option_named(name: str) -> Option:
    if name not in _BY_NAME:
        raise ServerArgsError(name, "there is no such option" + did_you_mean(name, _BY_NAME))
    return _BY_NAME[name]


def _completed(values: dict[str, Any]) -> dict[str, Any]:
    """Fills in what follows from the environment and from other options."""
    for option in OPTIONS:
        if values[option.name] is None and (text := os.environ.get(option.facts.env, "")):
            values[option.name] = option.check(option.parse(text))
    _check_together(values)
    model_name = values["model_path"]
    if model_name is None:
        from sglang.demo_model import demo_model_path

        model_name = DEMO_MODEL_NAME
        values["model_path"] = demo_model_path()
    defaults = {
        "tokenizer_path": values["model_path"],
        "served_model_name": model_name,
        "log_level_http": values["log_level"],
    }
    return values | {name: text for name, text in defaults.items() if values[name] is None}


def _check_together(values: dict[str, Any]) -> None:
    """Options that are right each alone."""
    if values["quantization"] and values["torchao_config"]:
        raise _BY_NAME["torchao_config"].error("cannot be combined with quantization")
    if values["ssl_keyfile"] and not values["ssl_certfile"]:
        raise _BY_NAME["ssl_keyfile"].error("needs ssl_certfile as well")
    if values["api_key"] and values["api_key"] == values["admin_api_key"]:
        raise _BY_NAME["admin_api_key"].error("must differ from api_key")
    path = values["root_path"]
    if path and (not path.startswith("/") or path.endswith("/")):
        raise _BY_NAME["root_path"].error(f"must begin with / and not end with it, got {path!r}")
