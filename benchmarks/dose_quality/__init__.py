"""Doses chosen for virtual patients: how often their true exposure reaches the target."""
