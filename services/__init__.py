"""Plafond: metering and chargeback billing for framework contracts."""
