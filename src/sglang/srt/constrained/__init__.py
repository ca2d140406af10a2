"""Structured outputs: grammars that keep what is generated inside a language."""
