"""Helpers for tests and for the examples of the documentation."""
