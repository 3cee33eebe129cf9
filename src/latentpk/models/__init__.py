"""Immutable latent models: prior, encoder, decoder, residual error. Nothing here trains."""
