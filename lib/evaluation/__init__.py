"""Notebook 04: who is right, and what explanations are worth."""
