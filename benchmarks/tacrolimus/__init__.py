"""T-DM1, simulated: later cycles of unseen patients from their first."""
