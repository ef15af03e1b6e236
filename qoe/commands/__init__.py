"""The commands of ``qoe``: each module adds its arguments and runs.

A module imports what is heavy when its command runs, so that ``qoe --help`` answers at once.
"""
