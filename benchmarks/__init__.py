"""Benchmarks: the same work for LatentPK and its peers, in one run, from one seed."""
