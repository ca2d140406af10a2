"""The options that say which model is served, and in which form."""

from __future__ import annotations

from dataclasses import dataclass

from sglang.srt.server_args.option import Section

MODEL = Section("Model and tokenizer")


@dataclass(frozen=True)
class ModelOptions:
    """A part of :class:`~sglang.srt.server_args.args.ServerArgs`."""

    model_path: str = MODEL.option(
        None,
        "The model to serve: a folder, a GGUF file, or a name on the Hugging Face hub.",
        aliases=("--model", "-m"),
        default_text="the built-in demo model",
    )
    tokenizer_path: str = MODEL.option(
        None, "The tokenizer: a folder or a hub name.", default_text="the model path"
    )
    tokenizer_mode: str = MODEL.option(
        "auto",
        "auto takes the fast tokenizer where there is one, slow never does.",
        choices=("auto", "slow"),
    )
    load_format: str = MODEL.option(
        "auto",
        "The format of the weights. auto: a GGUF file if that is the model, safetensors, else "
        "PyTorch files. pt: PyTorch files. gguf: a GGUF file, or the one in the folder. "
        "bitsandbytes: as auto, and the checkpoint must be of bitsandbytes. dummy: random weights, "
        "to measure speed without a download.",
        choices=("auto", "safetensors", "pt", "gguf", "bitsandbytes", "dummy"),
        planned=("npcache", "sharded_state", "layered"),
    )
    model_impl: str = MODEL.option(
        "auto",
        "Whose code runs the model. sglang: ours, or an external class; transformers: the module "
        "of transformers, with our attention and batching, for any causal language model; auto: "
        "ours where there is one, else transformers'.",
        choices=("auto", "sglang", "transformers"),
    )
    trust_remote_code: bool = MODEL.option(
        False,
        "Run Python code that comes with the checkpoint: of its tokenizer, where it needs any, and "
        "of its model, where that runs through transformers.",
    )
    dtype: str = MODEL.option(
        "auto",
        "Type of weights and activations. auto: the checkpoint's own. half is float16, float "
        "is float32.",
        choices=("auto", "bfloat16", "float16", "half", "float32", "float"),
    )
    kv_cache_dtype: str = MODEL.option(
        "auto",
        "Element type of the KV cache. auto: the model's. The others take one byte: about twice "
        "as many tokens fit, and attention reads half as much.",
        choices=("auto", "fp8_e5m2", "fp8_e4m3", "int8"),
    )
    quantization: str | None = MODEL.option(
        None,
        "Quantize the weights while loading. w8a8_int8: 8-bit weights with a scale an output "
        "channel, 8-bit activations with a scale a token (the same as --torchao-config int8dq). "
        "The others say how the checkpoint is quantized already, which is found without them; it "
        "is an error if it is not.",
        choices=(
            "w8a8_int8",
            "fp8",
            "w8a8_fp8",
            "awq",
            "awq_marlin",
            "gptq",
            "gptq_marlin",
            "bitsandbytes",
            "compressed-tensors",
            "gguf",
        ),
        planned=("marlin",),
        default_text="none",
    )
    context_length: int | None = MODEL.option(
        None,
        "The most tokens of prompt and answer together.",
        aliases=("--max-model-len",),
        minimum=1,
        default_text="the model's own",
    )
    device: str = MODEL.option(
        "auto",
        "Where the model runs. auto: cuda where there is one, else cpu.",
        choices=("auto", "cpu", "cuda"),
    )
    served_model_name: str = MODEL.option(
        None,
        "The model's name in the OpenAI-compatible API.",
        default_text="the model path; demo for the demo model",
    )
    chat_template: str | None = MODEL.option(
        None,
        "A chat template instead of the tokenizer's own: a file (.jinja or .json) or a name.",
        default_text="the tokenizer's own",
    )
    is_embedding: bool = MODEL.option(
        False,
        "Serve embeddings instead of text. Models with another head than that for text, such as "
        "reward models, do so without being told.",
    )
    revision: str | None = MODEL.option(
        None, "Branch, tag or commit of the model on the hub.", default_text="the main branch"
    )
    skip_tokenizer_init: bool = MODEL.option(
        False, "Load no tokenizer: requests bring token ids and get token ids back."
    )
    json_model_override_args: str = MODEL.option(
        "{}", "A JSON object whose entries replace those of the model's config.", json_object=True
    )
    delete_ckpt_after_loading: bool = MODEL.planned(
        False, "Delete the checkpoint once it is loaded."
    )
