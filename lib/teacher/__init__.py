"""Notebooks 01 and 02: who explains."""
