"""Re-rating: a month priced again, after a price was wrong."""
