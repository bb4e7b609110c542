"""Notebook 07: a study of your own, its page, answers and power."""
