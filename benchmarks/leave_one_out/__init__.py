"""The rest of one subject from its first four levels, trained on the others."""
