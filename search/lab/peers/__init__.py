"""Other systems for searching, run beside ours on the same space, data and compute."""
