"""A slow, obvious twin of the whole kernel, in plain Python: a capture in, flow records out.

It reads the capture by itself (`capfile`, `pcapng`), decodes every packet to its innermost flow (`decoder`,
`links`, `wifi`, `headers`, `tunnels`), keeps whole lists of packets by flow (`grouping`), and computes each
field of a record from those lists (`moments`, `tcp`, `rtp`, `udp`, `chunks`, `identifiers`, joined in
`record`), and the verdict from records (`features`, `verdict`; `flows` is the whole). What a field means
where no standard says it stands in `rules`, how far the kernel may be off in `slack`. `compare` holds both
against each other. No code is shared with the kernel.
"""
