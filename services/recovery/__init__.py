"""What an operator puts right: a database set back to an older state, messages that were parked."""
