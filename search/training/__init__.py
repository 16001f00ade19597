"""Params → compiled model → epochs → reports."""
