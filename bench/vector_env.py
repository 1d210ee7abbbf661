"""Ten thousand evaluation steps of one policy: this program against gymnasium's vector environments with JAX.

usage: python bench/vector_env.py CHECKPOINT [--env HalfCheetah-v4] [--rounds N] [--threads N] [--program PATH]

CHECKPOINT: of `unifloral train`, with a deterministic actor; it trains and writes nothing. Needs
`pip install gymnasium mujoco imageio packaging jax h5py`. In each round, one after the other on the same machine:

  unifloral    `unifloral eval CHECKPOINT --episodes 10 --workers 8 --threads 2`: 10 episodes of 1000 steps; the time that it
               reports, which has the making of environments in it
  sync, async  gymnasium's SyncVectorEnv and AsyncVectorEnv, 8 environments, 1250 steps each; the policy is one jitted call
               for all 8. Making environments, the first reset and compilation are not timed.

The better of sync and async counts. One line of JSON: steps/s (medians of the rounds) and the median of the rounds' ratios;
processor seconds of all threads and processes, which say more than steps/s where others use the machine (unifloral's have
the start of the program in them); the mean returns of whole episodes, which are of the same policy.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import gymnasium
import h5py
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

ENVIRONMENTS, STEPS, EPISODES = 8, 1250, 10


def load_policy(path):
    """The actor of a checkpoint as a jitted function of (environments, observations)."""
    with h5py.File(path) as file:
        config = json.loads(bytes(file["config/0"][:]).rstrip(b"\0"))
        if not config["deterministic"]:
            sys.exit(f"{path}: its policy is stochastic; this compares deterministic ones")
        tensors = file["value/actor"]
        layers = [{k: jnp.array(v[0]) for k, v in tensors[f"hidden/{i}"].items()}
                  for i in range(config["actor_num_layers"])]
        head = {k: jnp.array(v[0]) for k, v in tensors["mean"].items()}
        mean, std = jnp.array(file["norm/mean"][:]), jnp.array(file["norm/std"][:])

    @jax.jit
    def policy(x):
        x = jnp.asarray(x, jnp.float32)
        if config["norm_obs"]:
            x = (x - mean) / (std + 1e-3)
        for layer in layers:
            x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
            if config["actor_ln"]:
                variance = x.var(-1, keepdims=True)
                x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(variance + 1e-6) * layer["scale"] + layer["shift"]
        return jnp.tanh(x @ head["kernel"] + head["bias"])

    return policy, f"{config['actor_num_layers']}x{config['actor_layer_width']}"


def processor_seconds(env):
    """Of this process and the environment's."""
    total = time.process_time()
    for process in getattr(env, "processes", []):
        with open(f"/proc/{process.pid}/stat") as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
        total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


def roll(env, policy, seed, returns):
    """Steps/s and processor seconds. Appends the returns of the episodes that end."""
    obs, _ = env.reset(seed=seed)
    sums = np.zeros(ENVIRONMENTS)
    processor = processor_seconds(env)
    start = time.perf_counter()
    for _ in range(STEPS):
        obs, rewards, terminated, truncated, _ = env.step(np.asarray(policy(obs)))
        sums += rewards
        done = terminated | truncated
        if done.any():
            returns.extend(sums[done])
            sums[done] = 0
    return ENVIRONMENTS * STEPS / (time.perf_counter() - start), processor_seconds(env) - processor


def evaluate(args, seed, returns):
    """The same of the program."""
    command = [args.program, "eval", args.checkpoint, "--env", args.env, "--episodes", str(EPISODES), "--workers",
               str(ENVIRONMENTS), "--threads", str(args.threads), "--seed", str(seed), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if result["length_mean"] * EPISODES != ENVIRONMENTS * STEPS:
        sys.exit(f"{args.env}: the episodes have {result['length_mean']} steps, 1000 are needed for equal work")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    returns.append(result["return_mean"])
    return (result["steps_per_second"],
            after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--env", default="HalfCheetah-v4")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--program", default="./unifloral")
    args = parser.parse_args()
    args.program, args.checkpoint = os.path.abspath(args.program), os.path.abspath(args.checkpoint)
    warnings.simplefilter("ignore")  # gymnasium: v4 is not the newest
    folder = tempfile.TemporaryDirectory()
    os.chdir(folder.name)  # MuJoCo writes MUJOCO_LOG.TXT where it is

    policy, shape = load_policy(args.checkpoint)
    make = [lambda: gymnasium.make(args.env)] * ENVIRONMENTS
    vectors = {"sync": gymnasium.vector.SyncVectorEnv(make), "async": gymnasium.vector.AsyncVectorEnv(make)}
    for env in vectors.values():  # compiles and warms up
        obs, _ = env.reset(seed=0)
        for _ in range(20):
            obs, *_ = env.step(np.asarray(policy(obs)))

    speeds, seconds = ({name: [] for name in ("unifloral", *vectors)} for _ in range(2))
    returns = {"unifloral": [], "gymnasium": []}
    for seed in range(args.rounds):
        measured = {"unifloral": evaluate(args, seed, returns["unifloral"])}
        for name, env in vectors.items():
            measured[name] = roll(env, policy, 1000 * seed, returns["gymnasium"])
        for name, (speed, processor) in measured.items():
            speeds[name].append(speed)
            seconds[name].append(processor)
    for env in vectors.values():
        env.close()
    ratios = [ours / max(others) for ours, *others in zip(*speeds.values())]
    print(json.dumps({
        "env": args.env, "policy": shape, "environments": ENVIRONMENTS, "steps": ENVIRONMENTS * STEPS,
        "threads": args.threads, "rounds": args.rounds,
        "steps_per_second": {name: round(statistics.median(speed)) for name, speed in speeds.items()},
        "ratio": round(statistics.median(ratios), 2), "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
        "processor_seconds": {name: round(statistics.median(value), 3) for name, value in seconds.items()},
        "return_mean": {name: round(float(np.mean(value)), 1) for name, value in returns.items()},
        "versions": {"gymnasium": gymnasium.__version__, "mujoco": mujoco.__version__, "jax": jax.__version__},
    }))


if __name__ == "__main__":
    main()
