"""Faults on purpose: what breaks in production is broken here, while providers push, and nothing may be lost."""
