"""Runs notebooks that are out of date; report, collected results."""
