"""Tools around qoe: the seeded traffic generator and the mutator of captures."""
