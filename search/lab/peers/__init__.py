"""Other systems for searching hyperparameters, run beside ours on the same space, data and
compute.
"""
