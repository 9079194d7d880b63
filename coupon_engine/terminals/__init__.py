"""Terminals: devices that are paired with a store, and the cashiers who sit at them."""
