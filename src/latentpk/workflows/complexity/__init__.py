"""Whether a compartment model would do: for each subject and the population; what it misses."""
