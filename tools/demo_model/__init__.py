"""Builds the demo model: corpus, tokenizer, training, evaluation and export."""
