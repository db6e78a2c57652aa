"""The hash slot of a key, as base/slot.h computes it: CRC16-XMODEM(tag) mod 16384."""

import binascii

SLOT_COUNT = 16384


def slot_of(key: bytes) -> int:
    """The tag is what stands between the first '{' and the first '}' after it, when not empty."""
    opening = key.find(b"{")
    if opening >= 0:
        closing = key.find(b"}", opening + 1)
        if closing > opening + 1:
            key = key[opening + 1:closing]
    return binascii.crc_hqx(key, 0) % SLOT_COUNT


class ShardTable:
    """Which shard owns a slot. `shards` is the list that `kvctl shards -o json` prints."""

    def __init__(self, shards):
        self._owner = [None] * SLOT_COUNT
        self.shard_ids = []
        for shard in shards:
            if not shard["slot_count"]:
                continue  # the meta shard owns no slots
            self.shard_ids.append(shard["id"])
            first = shard["first_slot"]
            for slot in range(first, first + shard["slot_count"]):
                if self._owner[slot] is not None:
                    raise ValueError(f"slot {slot} has two shards: {self._owner[slot]}, "
                                     f"{shard['id']}")
                self._owner[slot] = shard["id"]
        if None in self._owner:
            raise ValueError(f"slot {self._owner.index(None)} has no shard")

    def shard_of(self, key: bytes):
        return self._owner[slot_of(key)]
