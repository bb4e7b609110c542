"""Language models: load, decode, score; nothing of the study."""
