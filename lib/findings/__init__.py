"""Notebook 06: what follows."""
