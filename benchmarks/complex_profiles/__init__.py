"""Forecasts of profiles that no compartment model describes, against the Bayes oracle."""
