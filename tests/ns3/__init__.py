"""One LTE cell in ns-3 and the same cell in our simulator, user by user.

:mod:`ns3.program` builds and runs ns-3's (``cell.cc``), :mod:`ns3.scenarios` says which cells,
:mod:`ns3.twin` is ns-3's proportional fair scheduler in a page of plain Python, :mod:`ns3.compare` feeds what
ns-3's scheduler saw to ours and compares what the users got.
"""
