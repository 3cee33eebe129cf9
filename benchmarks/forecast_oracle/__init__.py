"""Forecast of later concentrations from one to four levels, against the Bayes oracle."""
