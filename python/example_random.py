"""Random actions in many gridworlds at once: steps/s.

usage: python example_random.py [--env ID] [--envs N] [--steps N] [--threads N] [--in-place] [--rounds N] [--minigrid N]

--minigrid N also times gymnasium's SyncVectorEnv over N of MiniGrid's own environments (pip install minigrid==3.2.0), in
turns with ours, and says the ratio of the medians. Both return the dict of image, direction and mission, and begin new
episodes as they come.
"""

import argparse
import os
import statistics
import time

import gymnasium
import numpy as np

import unifloral_navix  # registers "unifloral/..."


def time_steps(envs, steps):
    """Environment steps a second."""
    actions = np.random.default_rng(0).integers(0, envs.single_action_space.n, (64, envs.num_envs))
    envs.reset(seed=0)
    for k in range(3):
        envs.step(actions[k])
    begin = time.perf_counter()
    for k in range(steps):
        envs.step(actions[k % 64])
    return steps * envs.num_envs / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", default="MiniGrid-DoorKey-8x8-v0")
    parser.add_argument("--envs", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--in-place", action="store_true", help="the same arrays each step")
    parser.add_argument("--minigrid", type=int, default=0)
    args = parser.parse_args()

    ours = gymnasium.make_vec(f"unifloral/{args.env}", num_envs=args.envs, num_threads=args.threads, copy=not args.in_place)
    theirs = None
    if args.minigrid:
        import minigrid  # registers its environments

        theirs = gymnasium.make_vec(args.env, num_envs=args.minigrid, vectorization_mode="sync")
    speeds = {ours: [], theirs: []}
    for _ in range(args.rounds):
        speeds[ours].append(time_steps(ours, args.steps))
        if theirs:
            speeds[theirs].append(time_steps(theirs, max(1, 8000 // args.minigrid)))
    fast = statistics.median(speeds[ours])
    print(f"{fast:,.0f} steps/s of {args.env}: {args.envs} environments, {args.threads} threads, load {os.getloadavg()[0]:.1f}")
    if theirs:
        slow = statistics.median(speeds[theirs])
        print(f"{slow:,.0f} steps/s of SyncVectorEnv over {args.minigrid} of MiniGrid's: ratio {fast / slow:,.0f}")


if __name__ == "__main__":
    main()
