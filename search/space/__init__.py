"""What can vary: parameter types, conditions, and the loading of spaces/*.yaml with every mistake
listed.
"""
