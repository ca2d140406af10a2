"""SGLang: a fast serving runtime for language models and a frontend language to program them."""

__version__ = "0.4.3"
