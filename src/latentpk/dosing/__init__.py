"""From the posterior of one patient to a dose: targets, exposures, regimens, recommendations."""
