"""The way of one message: from a whole MO text to its accepted answer, or to the park. Knows no socket and
no Redis.
"""
