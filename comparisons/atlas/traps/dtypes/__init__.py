"""Number types: promotion, overflow, precision and tolerances."""
