"""Training, the posterior of a patient, and how far to trust it."""
