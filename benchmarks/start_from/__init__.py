"""What the encoder adds: forecasts by encoder only, refinement from it, from the prior, NUTS."""
