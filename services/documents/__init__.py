"""Invoices as documents: the model of one, and its forms (UBL, CSV, XLSX, JSON)."""
