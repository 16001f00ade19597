"""Joins study, training and tracking: workers, their sandbox, and how they are launched."""
