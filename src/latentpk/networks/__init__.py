"""Equinox blocks that know no pharmacology."""
