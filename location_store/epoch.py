"""The minutes that stored records count in: from 2016 on, so that they fit 24 bits until 2047.

Called by everything that packs or unpacks records.
"""

EPOCH_MIN = 24_193_440  # 2016-01-01T00:00Z in unix minutes
MAX_MIN = 2**24 - 1  # the last minute after EPOCH_MIN that a record can hold
MINUTE_BYTES = 3
