"""Seconds of a recommendation and of many posteriors in a warm process, peers beside."""
