"""Charges are split, posted, watched against the ceilings, and closed into statements."""
