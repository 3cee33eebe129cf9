"""Plumbing that every benchmark shares: cells that resume, the machine, bootstrap intervals."""

from latentpk.compilation import compile_quickly

compile_quickly()  # as the command line does, before anything imports jax
