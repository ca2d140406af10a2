"""Formats of quantized matrices: one file each, from the stored tensors to a ``Grid``."""
