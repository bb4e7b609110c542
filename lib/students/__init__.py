"""Notebook 03: who learns."""
