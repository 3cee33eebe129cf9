"""Population models by maximum likelihood: what is asked, the fit, and what it says."""
