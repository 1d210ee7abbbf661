#!/usr/bin/env python3
"""Writes tests/data/synthenv.h5: a small recording of kind synthenv, computed in float64 by numpy alone.

The layout is that of the published checkpoints' file, with other sizes: widths that are no multiple of a vector, a latent
of its own size, several continuous actions, an MDP that meets its step limit. usage: make_synthenv.py OUT
"""
import sys

import h5py
import numpy as np

rng = np.random.default_rng(7)
f32 = np.float32


def net(n_in, width, n_out, scale=1.0):
    return {"dense0/bias": f32(0.3 * rng.normal(size=width)), "dense0/kernel": f32(rng.normal(size=(n_in, width)) / np.sqrt(n_in)),
            "dense1/bias": f32(0.3 * scale * rng.normal(size=n_out)),
            "dense1/kernel": f32(scale * rng.normal(size=(width, n_out)) / np.sqrt(width))}


def run(n, x):
    w = {k: v.astype(float) for k, v in n.items()}
    return np.maximum(x @ w["dense0/kernel"] + w["dense0/bias"], 0) @ w["dense1/kernel"] + w["dense1/bias"]


def gradient(n, x):
    w = {k: v.astype(float) for k, v in n.items()}
    on = x @ w["dense0/kernel"] + w["dense0/bias"] > 0
    return (on * w["dense1/kernel"][:, 0]) @ w["dense0/kernel"].T


def put(group, values):
    for name, value in values.items():
        value = np.asarray(value)
        group[name] = value.astype(np.float32) if value.dtype == np.float64 else value


def actions(n, a, discrete, bound):
    raw = rng.integers(a, size=n).astype(np.int32) if discrete else f32(rng.uniform(-bound, bound, size=(n, a)))
    return raw, np.eye(a)[raw] if discrete else raw.astype(float)


def checkpoint(out, name, env_id, d, a, width, latent, discrete, bound=1.0, n=6):
    g = out.create_group("checkpoint/" + name)
    nets = {"initial_state": net(latent, width, d), "reward": net(d + a, width, 1)}
    for k, v in nets.items():
        put(g.create_group(k), v)
    flat = np.concatenate([v[k].ravel() for v in nets.values() for k in ("dense0/bias", "dense0/kernel", "dense1/bias", "dense1/kernel")])
    g["flat"] = flat
    g.attrs.update(env_id=env_id, obs_dim=d, act_dim=a, latent_dim=latent, hidden=width, num_params=len(flat), activation="relu",
                   action_type="discrete" if discrete else "continuous", latent_dist="standard normal", max_steps_in_episode=1)
    if not discrete:
        g.attrs.update(action_low=-bound, action_high=bound)
    z, obs = f32(rng.normal(size=(n, latent))), f32(2 * rng.normal(size=(n, d)))
    raw, encoded = actions(n, a, discrete, bound)
    x = np.concatenate([obs, encoded], 1)
    grad = gradient(nets["reward"], x)
    put(g.create_group("forward"), {"latent": z, "context": run(nets["initial_state"], z), "obs": obs, "action": raw, "action_encoded": encoded,
                                    "reward": run(nets["reward"], x)[:, 0], "grad_obs": grad[:, :d], "grad_action": grad[:, d:]})
    if discrete:
        all_kinds = [run(nets["reward"], np.concatenate([obs, np.tile(np.eye(a)[k], (n, 1))], 1))[:, 0] for k in range(a)]
        put(g["forward"], {"reward_all_actions": np.stack(all_kinds, 1)})
    z = f32(rng.normal(size=(n + 1, latent)))
    s = run(nets["initial_state"], z)
    raw, encoded = actions(n, a, discrete, bound)
    put(g.create_group("steps"), {"latent": z[:n], "obs": s[:n], "action": raw, "next_obs": s[1:], "done": np.ones(n, np.uint8),
                                  "reward": run(nets["reward"], np.concatenate([s[:n], encoded], 1))[:, 0]})
    return nets


def episodes(nets, d, a, limit, n):
    z = f32(rng.normal(size=(n + 1, d)))
    s, steps = run(nets["initial_state"], z[0]), 0
    rows = {k: [] for k in ("obs", "action", "reward", "next_obs", "done_logit", "done")}
    for t in range(n):
        u = f32(rng.uniform(-2, 2, size=a))
        x = np.concatenate([s, u])
        after = s + run(nets["next_state_delta"], x)
        logit = run(nets["done"], after)[0]
        steps += 1
        done = logit > 0 or steps >= limit
        for k, v in zip(rows, (s, u, run(nets["reward"], x)[0], after, logit, np.uint8(done))):
            rows[k].append(v)
        s, steps = (run(nets["initial_state"], z[t + 1]), 0) if done else (after, steps)
    return z, {k: np.array(v) for k, v in rows.items()}


def mdp(out, d=3, a=2, width=6, limit=4, n=24):
    g = out.create_group("fresh_mdp")
    ended = np.zeros(1, bool)
    while not 3 <= ended.sum() <= n // 3:  # episodes are to end both ways
        nets = {"initial_state": net(d, width, d), "reward": net(d + a, width, 1), "next_state_delta": net(d + a, width, d, 0.5),
                "done": net(d, width, 1)}
        z, rows = episodes(nets, d, a, limit, n)
        ended = rows["done_logit"] > 0
    for k, v in nets.items():
        put(g.create_group(k), v)
    g.attrs.update(obs_dim=d, act_dim=a, hidden=width, action_type="continuous", action_low=-2.0, action_high=2.0, max_steps_in_episode=limit)
    g["first_latent"] = z[0]
    put(g.create_group("steps"), {**rows, "latent_if_reset": z[1:]})


def snes(out, popsize=7, n=3, generations=4):
    g = out.create_group("snes")
    u = np.maximum(0, np.log(popsize / 2 + 1) - np.log(np.arange(1, popsize + 1)))
    w = u / u.sum() - 1 / popsize
    rate = (3 + np.log(n)) / (5 * np.sqrt(n))
    m, s = rng.normal(size=n), np.full(n, 0.2)
    ms, ss, xs, fs = [m], [s], [], []
    for _ in range(generations):
        x = f32(m + s * rng.normal(size=(popsize, n)))
        fit = f32(-((x - 1) ** 2).sum(1))
        z = ((x - m) / s)[np.argsort(-fit, kind="stable")]
        m, s = m + s * (w @ z), s * np.exp(rate / 2 * (w @ (z ** 2 - 1)))
        ms.append(m), ss.append(s), xs.append(x), fs.append(fit)
    put(g, {"weights": w, "mean": np.array(ms), "sigma": np.array(ss), "x": np.array(xs), "fitness": np.array(fs)})
    g.attrs.update(popsize=popsize, dims=n, maximize=1, lrate_mean=1.0, lrate_sigma=rate, sigma_init=0.2)


def cart_pole(s, k):
    x, v, angle, turn = s
    force, c, si = (10.0 if k == 1 else -10.0), np.cos(angle), np.sin(angle)
    push = (force + 0.05 * turn ** 2 * si) / 1.1
    spin = (9.8 * si - c * push) / (0.5 * (4 / 3 - 0.1 * c * c / 1.1))
    s = s + 0.02 * np.array([v, push - 0.05 * spin * c / 1.1, turn, spin])
    return s, 1.0, abs(s[0]) > 2.4 or abs(s[2]) > 12 * 2 * np.pi / 360


def mountain_car(s, u):  # gymnax's: the left wall takes no speed
    v = np.clip(s[1] + np.clip(u[0], -1, 1) * 0.0015 - 0.0025 * np.cos(3 * s[0]), -0.07, 0.07)
    x = np.clip(s[0] + v, -1.2, 0.6)
    done = x >= 0.45 and v >= 0
    return np.array([x, v]), -0.1 * u[0] ** 2 + 100.0 * done, done


def pendulum(s, u):
    angle = (s[0] + np.pi) % (2 * np.pi) - np.pi
    torque = np.clip(u[0], -2, 2)
    v = np.clip(s[1] + (15 * np.sin(s[0]) + 3 * torque) * 0.05, -8, 8)
    return np.array([s[0] + 0.05 * v, v]), -(angle ** 2 + 0.1 * s[1] ** 2 + 0.001 * torque ** 2), False


def trace(out, name, env_id, step, state, draw, observe, limit, n):
    rows = {k: [] for k in ("state", "obs", "action", "reward", "done", "next_state", "next_obs")}
    s, count = f32(state()), 0
    for _ in range(n):
        u = draw()
        after, reward, done = step(s.astype(float), u)
        after, count = f32(after), count + 1
        done = bool(done) or count >= limit
        for k, v in zip(rows, (s, observe(s), u, reward, np.uint8(done), after, observe(after))):
            rows[k].append(v)
        s, count = (f32(state()), 0) if done else (after, count)
    g = out.create_group("eval_env/" + name)
    g.attrs.update(env_id=env_id, max_steps_in_episode=limit)
    put(g, {k: np.array(v) for k, v in rows.items()})


def greedy(out, name, reward, n=24):
    returns = []
    for _ in range(n):
        s, total, done = rng.uniform(-0.05, 0.05, 4), 0, False
        while not done and total < 500:
            s, _, done = cart_pole(s, np.argmax([run(reward, np.concatenate([s, np.eye(2)[k]]))[0] for k in range(2)]))
            total += 1
        returns.append(total)
    put(out.create_group("greedy/" + name), {"returns": np.array(returns, float)})


with h5py.File(sys.argv[1], "w") as out:
    out.attrs["kind"] = "synthenv"
    small = checkpoint(out, "small_pole", "CartPole-v1", 4, 2, 5, 4, True)
    checkpoint(out, "somewhere", "Somewhere", 3, 2, 19, 5, False, 1.5)
    mdp(out)
    snes(out)
    trace(out, "pole", "CartPole-v1", cart_pole, lambda: rng.uniform(-0.05, 0.05, 4), lambda: np.int32(rng.integers(2)), lambda s: s, 9, 20)
    trace(out, "car", "MountainCarContinuous-v0", mountain_car, lambda: np.array([-1.1, -0.05]), lambda: f32(rng.uniform(-1, 1, 1)), lambda s: s, 8, 16)
    trace(out, "swing", "Pendulum-v1", pendulum, lambda: rng.uniform(-2, 2, 2), lambda: f32(rng.uniform(-2.5, 2.5, 1)),
          lambda s: np.array([np.cos(s[0]), np.sin(s[0]), s[1]]), 7, 16)
    greedy(out, "small_pole", small["reward"])
