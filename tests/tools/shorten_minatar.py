#!/usr/bin/env python3
"""shorten_minatar.py IN.h5 OUT.h5: of recorded MinAtar episodes (kind minatar-traces) three of each policy, none of more
than 500 steps, and 40 resets: tests/data/minatar_traces.h5."""
import sys

import h5py
import numpy as np

EPISODES, STEPS, RESETS = 3, 500, 40


def shorten(source, target):
    lengths, policies = source["ep_length"][:], source.attrs["policies"].split(",")
    starts = np.concatenate([[0], np.cumsum(lengths)])
    kept = []
    for policy in dict.fromkeys(policies):
        short = [e for e, p in enumerate(policies) if p == policy and lengths[e] <= STEPS]
        kept += sorted(short, key=lambda e: -lengths[e])[:EPISODES]
    kept.sort()
    steps = np.concatenate([np.arange(starts[e], starts[e + 1]) for e in kept])
    for name, value in source.attrs.items():
        target.attrs[name] = value
    target.attrs["episodes"] = len(kept)
    target.attrs["policies"] = ",".join(policies[e] for e in kept)

    def copy(name, item):
        if isinstance(item, h5py.Dataset):
            data = item[:]
            data = data[kept] if name.startswith("ep_") else data[:RESETS] if name.startswith("reset/") else data[steps]
            packed = {"compression": 9, "shuffle": True, "chunks": data.shape} if data.nbytes > 2000 else {}
            target.create_dataset(name, data=data, **packed)

    source.visititems(copy)


with h5py.File(sys.argv[1]) as source, h5py.File(sys.argv[2], "w", libver=("v110", "v110")) as target:
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for game in source:
        shorten(source[game], target.create_group(game))
