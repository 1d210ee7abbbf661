"""Steps/s of gridworlds with random actions, observations written: this library, one MiniGrid process, and NAVIX.

usage: python bench/navix_compare.py [--rounds N] [--core N] [--envs N] [--program PATH]
                                     [--minigrid-python PATH] [--navix-python PATH]

All on one core (of Linux), one after the other, in rounds:

  unifloral  `unifloral bench --env ID --observation KIND --envs N`: one thread, N environments (2048), new levels at the
             end of episodes included
  MiniGrid   gymnasium.make(ID), for the map with FullyObsWrapper; one environment, reset at the end of an episode.
             `pip install minigrid==3.2.0`
  NAVIX      jax.vmap of env.step in a jitted lax.scan over actions that were drawn before; for the map the better of 256
             and 2048 environments, first person 2048; MiniGrid's limits of steps. Compilation is not timed.
             `pip install navix==0.11.0`; left out where it cannot be imported

The interpreters may be of two virtual environments. Medians of the rounds, and by processor time, which is what the clock
says on a core that nobody else uses; the clock's figures stand beside. NAVIX's first person has no occlusion, and neither
draws the cells that MiniGrid hides; ours is MiniGrid's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

CASES = [(name, kind) for name in ("Empty-8x8", "DoorKey-8x8", "Dynamic-Obstacles-8x8") for kind in ("first_person", "full")]
LIMITS = {"Empty-8x8": 256, "DoorKey-8x8": 640, "Dynamic-Obstacles-8x8": 256}
SECONDS = 1.0  # a measurement takes about that long


def timed(work):
    """Seconds by the clock and of this process."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def measure_minigrid(name, kind):
    import gymnasium
    import minigrid  # registers its environments
    import numpy as np
    from minigrid.wrappers import FullyObsWrapper

    env = gymnasium.make(f"MiniGrid-{name}-v0")
    if kind == "full":
        env = FullyObsWrapper(env)
    actions = np.random.default_rng(0).integers(0, 7, 100000)
    env.reset(seed=0)

    def steps(count):
        for action in actions[:count]:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    steps(500)
    count = 5000
    clock, processor = timed(lambda: steps(count))
    return {"clock": count / clock, "processor": count / processor}


def measure_navix(name, kind, envs):
    import jax
    import navix

    observe = navix.observations.symbolic if kind == "full" else navix.observations.symbolic_first_person
    best = None
    for n in (256, envs) if kind == "full" else (envs,):
        env = navix.make(f"Navix-{name}-v0", max_steps=LIMITS[name], observation_fn=observe)

        @jax.jit
        def run(timestep, actions):
            return jax.lax.scan(lambda t, a: (jax.vmap(env.step)(t, a), None), timestep, actions)[0]

        timestep = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.PRNGKey(0), n))
        count = 20
        while True:  # as many steps as the time takes
            actions = jax.random.randint(jax.random.PRNGKey(1), (count, n), 0, 7)
            timestep = jax.block_until_ready(run(timestep, actions))  # compiles

            def work():
                nonlocal timestep
                timestep = jax.block_until_ready(run(timestep, actions))

            clock, processor = timed(work)
            if processor > SECONDS / 2:
                break
            count = min(20 * count, max(2 * count, int(count * SECONDS / processor)))
        result = {"clock": count * n / clock, "processor": count * n / processor, "envs": n}
        best = result if best is None or result["processor"] > best["processor"] else best
    return best


def run_unifloral(args, name, kind):
    line = subprocess.run([args.program, "bench", "--env", f"MiniGrid-{name}-v0", "--observation", kind, "--envs",
                           str(args.envs), "--threads", "1"], check=True, capture_output=True, text=True).stdout
    result = json.loads(line)
    return {"clock": result["steps_per_second"], "processor": result["steps_per_processor_second"],
            "write_share": result["write_share"]}


def run_python(python, subject, args, name, kind):
    """A subject in a process of its own; None where it cannot be imported."""
    done = subprocess.run([python, __file__, "--measure", subject, name, kind, "--envs", str(args.envs)],
                          capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    if done.returncode == 3:
        return None
    if done.returncode:
        sys.exit(f"{subject} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def middle(results, key):
    return statistics.median(r[key] for r in results)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--envs", type=int, default=2048)
    parser.add_argument("--program", default="./unifloral")
    parser.add_argument("--minigrid-python", default=sys.executable)
    parser.add_argument("--navix-python", default=sys.executable)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        subject, name, kind = args.measure
        try:
            result = measure_minigrid(name, kind) if subject == "minigrid" else measure_navix(name, kind, args.envs)
        except ModuleNotFoundError as error:
            print(error, file=sys.stderr)
            sys.exit(3)
        print(json.dumps(result))
        return

    os.sched_setaffinity(0, {args.core})  # and of every process that this starts
    print(f"core {args.core}, {args.rounds} rounds, load {os.getloadavg()[0]:.2f} before; steps/s by processor time "
          "(by the clock)", flush=True)
    print(f"{'environment':22} {'observation':13} {'unifloral':>19} {'MiniGrid':>17} {'ratio':>7} {'NAVIX':>19} "
          f"{'ratio':>7}  {'bytes alone':>11}")
    for name, kind in CASES:
        results = {"unifloral": [], "minigrid": [], "navix": []}
        for _ in range(args.rounds):
            results["unifloral"].append(run_unifloral(args, name, kind))
            results["minigrid"].append(run_python(args.minigrid_python, "minigrid", args, name, kind))
            results["navix"].append(run_python(args.navix_python, "navix", args, name, kind))
        ours = middle(results["unifloral"], "processor")
        line = f"{name:22} {kind:13} {ours / 1e6:8.2f} M ({middle(results['unifloral'], 'clock') / 1e6:5.2f} M)"
        for subject, unit, letter in (("minigrid", 1e3, "k"), ("navix", 1e6, "M")):
            if None in results[subject]:
                line += f" {'not installed':>19} {'':7}"
                continue
            theirs = middle(results[subject], "processor")
            line += (f" {theirs / unit:7.3f} {letter} ({middle(results[subject], 'clock') / unit:5.2f} {letter})"
                     f" {ours / theirs:6.0f}x")
        print(f"{line}  {100 * middle(results['unifloral'], 'write_share'):9.1f} %", flush=True)
    print(f"load {os.getloadavg()[0]:.2f} after; bytes alone: the share of our time that writing the observations' bytes "
          "takes by itself")


if __name__ == "__main__":
    main()
