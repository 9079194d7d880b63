"""Customers: anonymous wallets, moving to another phone, personal data and its end."""
