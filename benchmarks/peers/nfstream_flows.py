"""NFStream with its statistics on, everything else as it comes: ``python nfstream_flows.py CAPTURE CSV``."""

import sys

from nfstream import NFStreamer

if __name__ == "__main__":
    NFStreamer(source=sys.argv[1], statistical_analysis=True).to_csv(path=sys.argv[2])
