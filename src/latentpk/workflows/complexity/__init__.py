"""Whether a compartment model would do: for each subject, for the population, and what it misses."""
