"""A month's life: open, in grace, closed; what is asked before it is closed, and who closes it."""
