"""Thin helpers behind the notebooks: one noun a module, no work at import."""
