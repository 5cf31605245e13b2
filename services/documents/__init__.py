"""Invoices as documents: the model of one, and its forms (UBL, PDF, CSV, XLSX, JSON)."""
