"""Whole studies without training: recorded or predicted learning curves under a simulated clock."""
