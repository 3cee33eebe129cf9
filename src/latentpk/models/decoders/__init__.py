"""From a latent patient to a concentration profile: one decoder per file."""
