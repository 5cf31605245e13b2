"""What can be broken: a class a fault, and the order in which they come."""
