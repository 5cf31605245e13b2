"""Reconciling: what suppliers invoice and what providers count, beside what the books have.

The way of an invoice: read (`electronic`, `table`) → identify whose and what its lines are (`identify`) → match them
with what is expected (`match`) → show (`rows`, `pdf`) and keep on record (`record`). A provider's totals: `usage`, and
`usage_record` for the books. All but the two records and `read` is pure.
"""
