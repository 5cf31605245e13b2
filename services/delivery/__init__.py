"""Delivery: what is issued goes to its institution by e-mail and into a store, and is there for it over HTTP."""
