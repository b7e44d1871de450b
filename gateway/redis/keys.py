"""The names of the gateway's keys. All of one subscriber's carry the hash tag of his partition, as his
history does, so that one server call can touch them together; none reveals a number.
"""

from location_store.pseudonyms import Pseudonym

PARK_SHARDS = 4


#: Kinds of a subscriber's keys; `place_of` follows.
STATE, LEASE, PARKED, LINE, PARTS = b"d:", b"l:", b"w:", b"q:", b"j:"


def place_of(who: Pseudonym) -> bytes:
    """What all keys of a subscriber end in."""
    return b"{%d}:%d:%b" % who[:3]


def tag_of(who: Pseudonym) -> str:
    """A subscriber's name in a parked entry."""
    return f"{who.partition}.{who.bucket}.{who.field.hex()}"


def of_tag(tag: str) -> Pseudonym:
    """The pseudonym in a tag. Raises ValueError on anything else."""
    partition, bucket, field = tag.split(".")
    return Pseudonym(int(partition), int(bucket), bytes.fromhex(field))


def state_key(who: Pseudonym) -> bytes:
    """Where the dialog stands."""
    return STATE + place_of(who)


def lease_key(who: Pseudonym) -> bytes:
    """Who has the turn."""
    return LEASE + place_of(who)


def parked_key(who: Pseudonym) -> bytes:
    """Which of his messages are parked, by name: while there are any, a new one goes behind them."""
    return PARKED + place_of(who)


def line_key(who: Pseudonym) -> bytes:
    """Which of his messages wait for their turn."""
    return LINE + place_of(who)


def mark_key(who: Pseudonym, digest: bytes) -> bytes:
    """That the message of this digest was answered."""
    return b"m:{%d}:%b" % (who.partition, digest)


def parts_key(who: Pseudonym) -> bytes:
    """What has come so far of his long messages."""
    return PARTS + place_of(who)


def shard_of(who: Pseudonym) -> int:
    """A subscriber's messages are all in one shard, in their order."""
    return who.partition % PARK_SHARDS


def park_key(kind: bytes, route: str, shard: int) -> bytes:
    """`q` waiting, `x` dead, `o` owner, `n` tries, `v` how many there ever were, of one shard; one slot."""
    return b"p%s:{%s/%d}" % (kind, route.encode(), shard)


def hold_key(route: str, shard: int, name: bytes) -> bytes:
    """That the first attempt at the entry of this name is still under way in some process."""
    return b"ph:{%s/%d}:%s" % (route.encode(), shard, name)


def delivery_key(link: str, shard: int, day: int, bucket: bytes) -> bytes:
    """The records of the parts that an SMSC accepted on one day, of one bucket."""
    return b"dr:{%s/%d}:%d:%s" % (link.encode(), shard, day, bucket)


def delivery_sums_key(link: str, shard: int, day: int) -> bytes:
    """How the parts that were accepted on one day stand."""
    return b"ds:{%s/%d}:%d" % (link.encode(), shard, day)
