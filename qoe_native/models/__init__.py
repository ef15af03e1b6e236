"""The classifier that ships with qoe, and its card."""
