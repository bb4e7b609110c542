"""Draws finished tables; computes nothing."""
