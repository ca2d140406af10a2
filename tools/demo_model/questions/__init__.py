"""Questions that the model is asked by the evaluation, each with a check of the answer."""
