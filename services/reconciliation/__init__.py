"""Reconciling: what suppliers invoice and what providers count, beside what the books have.

The way of an invoice: read (`electronic`, `table`) → tell its month (`month`) → identify whose and what its lines are
(`identify`, `seller`) → match them with what is expected (`match`; `currencies` for what was invoiced before) → show
(`rows`, `pdf`) and keep on record (`record`); what nobody has invoiced: `missing`. A provider's totals: `usage`, and
`usage_record` for the books. All but the two records and `read` is pure.
"""
