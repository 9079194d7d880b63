"""Terminals that work alone: what they are given beforehand, and what is made of what they did."""
