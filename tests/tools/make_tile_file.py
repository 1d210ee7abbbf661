#!/usr/bin/env python3
"""Records MiniGrid's tiles and frames, for `unifloral verify` (kind minigrid-traces, groups tiles and frames).

    python3 tests/tools/make_tile_file.py tests/data/minigrid_tiles.h5

Needs minigrid (3.2.0 made the file that is there), h5py and numpy. Layout: core/verify/grid_tiles_traces.c.
"""
import sys

import gymnasium
import h5py
import minigrid
import numpy as np
from minigrid.core.constants import COLOR_TO_IDX
from minigrid.core.grid import Grid
from minigrid.core.world_object import Ball, Box, Door, Floor, Goal, Key, Lava, Wall

SIZES = (1, 5, 12, 16, 24)
COLOURS = sorted(COLOR_TO_IDX, key=COLOR_TO_IDX.get)
# id, view, tile size
FRAMES = [
    ("MiniGrid-DoorKey-8x8-v0", 7, 12),
    ("MiniGrid-MultiRoom-N6-v0", 7, 4),
    ("MiniGrid-FourRooms-v0", 9, 5),
    ("MiniGrid-ObstructedMaze-Full-v1", 5, 8),
    ("MiniGrid-LavaCrossingS9N3-v0", 3, 16),
    ("MiniGrid-Dynamic-Obstacles-8x8-v0", 7, 7),
    ("MiniGrid-PutNear-8x8-N3-v0", 11, 9),
]


def objects():
    yield None
    yield Lava()
    yield Goal()
    for colour in COLOURS:
        yield from (Wall(colour), Floor(colour), Key(colour), Ball(colour), Box(colour))
        yield from (Door(colour, is_open=True), Door(colour), Door(colour, is_locked=True))


def triple(thing):
    return thing.encode() if thing else (1, 0, 0)


def record_tiles(group):
    keys = []
    tiles = {size: [] for size in SIZES}
    for thing in objects():
        on = thing is None or thing.can_overlap() or thing.can_pickup()
        for agent in (-1, 0, 1, 2, 3) if on else (-1,):
            for highlight in (0, 1):
                keys.append((*triple(thing), agent, highlight))
                for size in SIZES:
                    tile = Grid.render_tile(thing, None if agent < 0 else agent, bool(highlight), size)
                    tiles[size].append(tile.astype(np.uint8))
    group.create_dataset("key", data=np.array(keys, np.int32), compression="gzip")
    for size in SIZES:
        pictures = np.array(tiles[size])
        group.create_dataset(f"rgb{size}", data=pictures, chunks=pictures.shape, compression="gzip", compression_opts=9)


def litter(env, random):
    """Any thing anywhere, and often something in the hand."""
    things = list(objects())
    for _ in range(env.width * env.height // 6):
        x, y = random.integers(1, env.width - 1), random.integers(1, env.height - 1)
        if (x, y) != tuple(env.agent_pos):
            env.grid.set(x, y, things[random.integers(len(things))])
    if random.integers(2):
        env.carrying = (Key, Ball, Box)[random.integers(3)](COLOURS[random.integers(6)])


def record_frame(group, env, env_id, size, pov, highlight):
    grid = env.grid.encode().transpose(1, 0, 2)
    group.attrs["env_id"] = env_id
    group.attrs["agent"] = np.array([*env.agent_pos, env.agent_dir], np.int32)
    group.attrs["carrying"] = np.array(triple(env.carrying), np.int32)
    for name, value in (("tile_size", size), ("pov", pov), ("highlight", highlight), ("view", env.agent_view_size),
                        ("see_through_walls", env.see_through_walls)):
        group.attrs[name] = int(value)
    group.create_dataset("grid", data=grid, compression="gzip")
    rgb = env.get_frame(highlight=bool(highlight), tile_size=size, agent_pov=bool(pov))
    group.create_dataset("rgb", data=rgb.astype(np.uint8), chunks=rgb.shape, compression="gzip", compression_opts=9)


def record_frames(group):
    random = np.random.default_rng(0)
    for number, (env_id, view, size) in enumerate(FRAMES):
        env = gymnasium.make(env_id).unwrapped
        env.agent_view_size = view
        for k in range(5):
            env.reset(seed=k)
            litter(env, random)
            for _ in range(4):
                env.step(random.integers(3))
            env.see_through_walls = k >= 3
            record_frame(group.create_group(f"{number * 10 + k:02}"), env, env_id, size, k % 2, k != 2)


def main():
    with h5py.File(sys.argv[1], "w", libver=("earliest", "v110")) as file:
        file.attrs.update(kind="minigrid-traces", format=1, minigrid=minigrid.__version__, numpy=np.__version__)
        record_tiles(file.create_group("tiles"))
        record_frames(file.create_group("frames"))


if __name__ == "__main__":
    main()
