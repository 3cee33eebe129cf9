"""What a fit of the learned field costs."""
