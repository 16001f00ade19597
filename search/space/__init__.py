"""What can vary: parameter types, conditions, and spaces/*.yaml, every mistake listed."""
