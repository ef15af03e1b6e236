"""A slow, obvious twin of the whole kernel, in plain Python: a capture in, flow records out.

It reads the capture by itself (`capfile`), decodes every packet to its innermost flow (`links`, `tunnels`,
`headers`), keeps whole lists of packets by flow (`grouping`), and computes each field of a flow's record
from those lists (`moments`, `tcp`, `rtp`, `udp`, `chunks`, `identifiers`, joined in `record`) and the
verdict from the records (`features`, `verdict`). What a field means where a textbook does not say stands in
`rules`; how close two records must be, in `compare`. It shares no code with the kernel.
"""
