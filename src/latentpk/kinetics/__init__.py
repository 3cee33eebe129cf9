"""Amounts through time, given parameters: pure functions for one subject, no learning."""
