#!/usr/bin/env python3
"""Writes tests/data/mujoco_missed.h5: HalfCheetah's legacy model where MuJoCo 2.3.7 misses contacts of its torso
(core/verify/mujoco_traces.c says why). usage: make_missed_contact.py MUJOCO_TRACES OUT

Wants mujoco 2.3.7, gymnasium (for its half_cheetah.xml) and h5py. MUJOCO_TRACES: a recording of kind mujoco-traces, which
has the masses of the legacy model. Runs with random actions are recorded until one has such a step, which is one that
differs with the search among boxes switched off; ten steps around it are kept.
"""
import os
import sys

import gymnasium
import h5py
import mujoco
import numpy as np

FRAME_SKIP, STEPS, KEPT, FIRST_SEED = 5, 50, 10, 50000


def make_model(group):
    folder = os.path.join(os.path.dirname(gymnasium.__file__), "envs/mujoco/assets")
    model = mujoco.MjModel.from_xml_path(os.path.join(folder, "half_cheetah.xml"))
    for name in "body_mass", "body_ipos", "body_inertia", "body_iquat":
        getattr(model, name)[:] = group["model"][name][:]
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def observe(data):
    return np.concatenate([data.qpos[1:], data.qvel])


def run(model, qpos, qvel, actions):
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = qpos, qvel
    mujoco.mj_forward(model, data)
    rows = {name: [] for name in ("qpos", "qvel", "obs", "reward", "torso_x", "terminated")}
    for action in actions:
        before = data.qpos[0]
        data.ctrl[:] = action
        mujoco.mj_step(model, data, FRAME_SKIP)
        reward = (data.qpos[0] - before) / (FRAME_SKIP * model.opt.timestep) - 0.1 * np.square(np.clip(action, -1, 1)).sum()
        for name, value in zip(rows, (data.qpos.copy(), data.qvel.copy(), observe(data), reward, data.xpos[1, 0], 0)):
            rows[name].append(value)
    return {name: np.array(value) for name, value in rows.items()}


def first_miss(model, qpos, qvel, actions, rows):
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)
    for k, action in enumerate(actions):
        start = (rows["qpos"][k - 1], rows["qvel"][k - 1]) if k else (qpos, qvel)
        if np.abs(run(model, *start, [action])["qvel"][0] - rows["qvel"][k]).max() > 1e-3:
            break
    else:
        k = -1
    model.opt.disableflags = 0
    return k


with h5py.File(sys.argv[1]) as traces, h5py.File(sys.argv[2], "w", libver=("v110", "v110")) as out:
    source, k, seed = traces["halfcheetah/legacy"], -1, FIRST_SEED
    model = make_model(source)
    while k < 3:
        seed += 1
        rng = np.random.default_rng(seed)
        qpos, qvel = model.qpos0 + rng.uniform(-0.1, 0.1, model.nq), 0.1 * rng.standard_normal(model.nv)
        actions = rng.uniform(-1.5, 1.5, (STEPS, model.nu))
        rows = run(model, qpos, qvel, actions)
        k = first_miss(model, qpos, qvel, actions, rows)
    first = min(k - 3, STEPS - KEPT)
    start = {"qpos0": rows["qpos"][first - 1] if first else qpos, "qvel0": rows["qvel"][first - 1] if first else qvel}
    actions = actions[first:first + KEPT]
    rows = run(model, start["qpos0"], start["qvel0"], actions)
    start["obs0"] = np.concatenate([start["qpos0"][1:], start["qvel0"]])
    group = out.create_group("halfcheetah/legacy")
    for name, value in {**start, **rows, "action": actions, "seed": np.int64(seed)}.items():
        group[name] = np.asarray(value, np.uint8 if name == "terminated" else None)[None]
    source.copy("model", group)
    for name, value in source.attrs.items():
        group.attrs[name] = value
    out.attrs.update(kind="mujoco-traces", engine="mujoco " + mujoco.__version__, steps=KEPT)
    print("seed", seed, "step", k)
