#!/usr/bin/env python3
"""shorten_traces.py IN.h5 OUT.h5: of recorded MiniGrid episodes (kind minigrid-traces) one id of each family and the
sandboxes, of each two episodes, and those that are cut off: tests/data/minigrid_traces.h5."""
import sys

import h5py
import numpy as np

PER_EPISODE = {"ep_len", "max_steps", "seed", "policy", "mission", "target", "aux"}
PER_STEP = {"action", "reward", "terminated", "truncated"}
IDS = """DoorKey-5x5 DistShift2 Dynamic-Obstacles-6x6 Empty-5x5 Fetch-5x5-N2 FourRooms GoToDoor-5x5 GoToObject-6x6-N2
    KeyCorridorS3R2 LavaCrossingS9N1 LavaGapS5 LockedRoom MemoryS7 MultiRoom-N2-S4 ObstructedMaze-1Dlhb Playground
    PutNear-6x6-N2 RedBlueDoors-6x6 SimpleCrossingS9N2 Unlock BlockedUnlockPickup""".split()


def shorten(source, target):
    lengths, policy = source["ep_len"][:], source["policy"][:]
    kept = [0, 2] + [e for e in range(3, len(lengths)) if policy[e] in (b"timeout", b"tight")]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    steps = np.concatenate([np.arange(starts[e], starts[e + 1]) for e in kept])
    frames = np.concatenate([np.arange(starts[e] + e, starts[e + 1] + e + 1) for e in kept])
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, data in source.items():
        data = data[:]
        if name == "box_contents":
            data = np.array([[kept.index(row[0]), *row[1:]] for row in data if row[0] in kept], data.dtype)
        else:
            data = data[kept if name in PER_EPISODE else steps if name in PER_STEP else frames]
        if len(data):
            packed = {"compression": 9, "chunks": data.shape} if data.nbytes > 2000 else {}
            target.create_dataset(name, data=data, **packed)


with h5py.File(sys.argv[1]) as source, h5py.File(sys.argv[2], "w", libver=("v110", "v110")) as target:
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for id in source["minigrid"]:
        if id.startswith("Sandbox") or id[len("MiniGrid-"):-len("-v0")] in IDS:
            shorten(source["minigrid"][id], target.create_group(f"minigrid/{id}"))
