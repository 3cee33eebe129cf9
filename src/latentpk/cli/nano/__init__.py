"""The verbs of nanoparticles: one file each, as the other verbs."""
