"""Notebook 05: what people say."""
