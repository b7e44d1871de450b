"""Where sightings come from without an end: watched folders, Redis streams, Kafka.

A new feed is one file with a class that has the five methods of `feed.Feed`, and a line in
`gateway/admin/ingest.py` that makes one from its option. What a feed does: read rows, name the position
behind them, and take a position back when what lies before it is in the store. What is common to all is in
`run`: checking, rejects, writing, waiting for a store that is away, sharing among processes (`share`),
ending in order. `stream` is the shortest one to start from.
"""
