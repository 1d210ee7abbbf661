#!/usr/bin/env python3
"""Records NAVIX's own episodes for tests/data/navix_traces.h5: python make_navix_traces.py navix_traces.h5

Wants NAVIX 0.11.0 and h5py. Each of NAVIX's ids gives a group navix/<id> in the layout that `unifloral verify` replays
(core/verify/grid_navix_traces.c): of 8 environments with random actions the two in which most happens. Observations are taken
from states that have passed through jax.jit, where NAVIX draws entities in alphabetical order.
"""
import sys

import h5py
import jax
import jax.numpy as jnp
import navix as nx
import numpy as np
from navix import observations

NUM_ENVS, KEPT, NUM_STEPS, MAX_STEPS, SEED = 8, 2, 160, 60, 11
# left, right, forward, pick up, drop, toggle, done
ACTIONS = np.array([0.13, 0.13, 0.40, 0.12, 0.08, 0.12, 0.02])


def places(entity):
    return entity.position[..., ::-1].astype(jnp.int8)


def column(values):
    return jnp.asarray(values, jnp.int8)[..., None]


def frame(timestep):
    state, entities = timestep.state, timestep.state.entities
    player = entities["player"]
    out = {
        "symbolic": observations.symbolic(state),
        "symbolic_fp": observations.symbolic_first_person(state),
        "categorical": observations.categorical(state).astype(jnp.int8),
        "categorical_fp": observations.categorical_first_person(state).astype(jnp.int8),
        "player": jnp.concatenate([player.position[0, ::-1], player.direction, player.pocket]),
        "base": state.grid.astype(jnp.int8),
        "reward": timestep.reward.astype(jnp.float32),
        "ret": timestep.info["return"],
        "step_type": timestep.step_type,
        "t": timestep.t,
    }
    for name in "goal", "ball", "lava", "wall":
        if name in entities:
            out[name] = places(entities[name])
    if "key" in entities:
        key = entities["key"]
        out["key"] = jnp.concatenate([places(key), column(key.id), column(key.colour)], -1)
    if "door" in entities:
        door = entities["door"]
        columns = [column(door.requires), column(door.open), column(door.colour)]
        out["door"] = jnp.concatenate([places(door), *columns], -1)
    if state.mission is not None:
        mission = state.mission
        out["mission"] = jnp.append(mission.position[::-1], mission.colour.astype(jnp.int32))
    return out


def record(name):
    env = nx.make(name, max_steps=MAX_STEPS)
    size, shares = (NUM_ENVS, NUM_STEPS), ACTIONS / ACTIONS.sum()
    actions = np.random.default_rng(SEED).choice(7, size=size, p=shares).astype(np.uint8)

    def episode(timestep, actions):
        def step(timestep, action):
            timestep = env.step(timestep, action)
            return timestep, frame(timestep)

        first = frame(timestep)
        _, rest = jax.lax.scan(step, timestep, actions)
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)

    keys = jax.random.split(jax.random.PRNGKey(SEED), NUM_ENVS)
    timesteps = jax.jit(jax.vmap(env.reset))(keys)
    frames = jax.jit(jax.vmap(episode))(timesteps, jnp.asarray(actions, jnp.int32))
    frames = {key: np.asarray(value) for key, value in frames.items()}
    return env, actions, frames


def liveliest(frames):
    """Counts ends, changes of the pocket and of doors."""
    happened = (frames["step_type"] == 2).sum(1) + (np.diff(frames["player"][..., 3]) != 0).sum(1)
    if "door" in frames:
        happened = happened + (np.diff(frames["door"][..., 3], axis=1) != 0).sum((1, 2))
    return np.argsort(-happened, kind="stable")[:KEPT]


def main():
    with h5py.File(sys.argv[1], "w", libver=("v110", "v110")) as file:
        file.attrs.update(format=1, kind="minigrid-traces", navix="0.11.0")
        for name in sorted(nx.registry()):
            env, actions, frames = record(name)
            kept = liveliest(frames)
            group = file.create_group(f"navix/{name}")
            group.attrs.update(
                width=env.width, height=env.height, max_steps=MAX_STEPS, n_env=KEPT, n_step=NUM_STEPS
            )
            frames["action"] = actions
            for key, value in frames.items():
                value = value[kept]
                group.create_dataset(key, data=value, chunks=value.shape, compression="gzip", compression_opts=9,
                                     shuffle=True)
            print(name, flush=True)


main()
