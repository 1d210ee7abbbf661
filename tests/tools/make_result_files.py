"""Writes tests/data/results: what the Unifloral reference writes at the end of a run, pickled args and all.

usage: python tests/tools/make_result_files.py   (numpy)
Source: github.com/EmptyJackson/unifloral, unifloral.py, the np.savez_compressed of its last lines.
"""
import os

import numpy as np

FOLDER = "tests/data/results"


class Trap:
    """Unpickling this leaves a file behind, which the test looks for."""

    def __reduce__(self):
        return (os.system, ("touch /tmp/unifloral-unpickled",))


def write(name, scores, args):
    returns = scores * 30 - 20
    np.savez_compressed(
        os.path.join(FOLDER, name),
        args=np.array(args, dtype=object),
        final_returns=returns,
        final_scores=scores,
        final_returns_mean=returns.mean(),
        final_returns_std=returns.std(),
        final_scores_mean=scores.mean(),
        final_scores_std=scores.std(),
    )


random = np.random.default_rng(0)
os.makedirs(FOLDER, exist_ok=True)
trapped = {"seed": 3, "algorithm": "td3_awr", "trap": Trap()}
write("td3_awr_hopper-medium-v2_2025-04-20_12-34-56.npz", np.arange(24.0).reshape(3, 8), trapped)
write("rebrac_pen-human-v1_2025-04-21_01-02-03.npz", random.normal(50, 10, (2, 8)).astype(np.float32), trapped)
