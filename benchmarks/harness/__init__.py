"""Plumbing that every benchmark shares: cells that resume, the machine, bootstrap intervals."""
