"""Load ahead, with bands."""
