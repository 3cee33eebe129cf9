"""Coverage of 90 % prediction intervals on new measurements of unseen patients."""
