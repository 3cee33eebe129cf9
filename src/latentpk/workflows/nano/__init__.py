"""Nanoparticles: fit, predict, evaluate, explain, design."""
