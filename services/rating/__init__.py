"""Usage is priced: seen before? meter it, charge the difference."""
