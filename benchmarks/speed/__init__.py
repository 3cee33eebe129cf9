"""Seconds and memory: whole processes, a warm process, growth with the number of subjects."""
