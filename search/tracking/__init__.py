"""Trackers, and the process that brings to them what the studies' storage holds."""
