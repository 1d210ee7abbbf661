"""Cases of tests/test_python.sh: python/unifloral_navix.py alone, and beside MiniGrid in one process.

Prints "ok name", "not ok name" with the reason, or "skip name".
"""

import inspect
import os
import pickle
import shutil
import shlex
import subprocess
import sys
import traceback

import gymnasium
import numpy as np
from gymnasium.utils import env_checker, passive_env_checker
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import unifloral_navix as ours
from unifloral_navix import NavixVectorEnv, State

try:
    import minigrid
    from minigrid import wrappers
except ImportError:
    minigrid = None

gymnasium.logger.min_level = gymnasium.logger.ERROR
NOTHING = (1, 0, 0)


def same(one, other, what=""):
    """Whether two observations or infos are the same, keys, shapes and all but the width of numbers."""
    if isinstance(one, dict):
        assert isinstance(other, dict) and set(one) == set(other), f"{what}: {set(one)} and {set(other)}"
        for key in one:
            same(one[key], other[key], f"{what}[{key!r}]")
    elif isinstance(one, np.ndarray) and one.dtype == object:
        assert other.dtype == object and one.shape == other.shape, what
        for i, (a, b) in enumerate(zip(one, other)):
            same(a, b, f"{what}[{i}]")
    elif isinstance(one, np.ndarray):
        assert one.shape == other.shape, f"{what}: shapes {one.shape}, {other.shape}"
        assert (one == other).all(), f"{what} differs at {np.argwhere(one != other)[0]}:\n{one}\n{other}"
    else:
        assert one == other, f"{what}: {one!r}, {other!r}"


def refused(sentence, function, *arguments, kind=ValueError, **named):
    try:
        function(*arguments, **named)
    except kind as error:
        assert sentence in str(error), f"says {str(error)!r}, expected {sentence!r}"
        return
    raise AssertionError(f"{sentence!r} was expected")


# ---- MiniGrid's level as a State ----


def place_of(u, thing):
    i = next(i for i, other in enumerate(u.grid.grid) if other is thing)
    return i % u.grid.width, i // u.grid.width


def kind_of(type_, colour):
    return minigrid.core.constants.OBJECT_TO_IDX[type_], minigrid.core.constants.COLOR_TO_IDX[colour]


def state_of(env):
    u = env.unwrapped
    state = State(*map(int, u.agent_pos), u.agent_dir, u.grid.encode().swapaxes(0, 1), u.max_steps, u.step_count)
    state.contents = np.full_like(state.grid, 0)
    state.contents[:] = NOTHING
    for i, thing in enumerate(u.grid.grid):
        if getattr(thing, "contains", None):
            state.contents[divmod(i, u.grid.width)] = thing.contains.encode()
    if u.carrying:
        state.carrying = u.carrying.encode()
        if getattr(u.carrying, "contains", None):
            state.carrying_contents = u.carrying.contains.encode()
    name = type(u).__name__
    if name == "GoToDoorEnv":
        state.target = (*u.target_pos, *kind_of("door", u.target_color))
    elif name == "GoToObjectEnv":
        state.target = (*u.target_pos, *kind_of(u.targetType, u.target_color))
    elif name == "FetchEnv":
        state.target = (-1, -1, *kind_of(u.targetType, u.targetColor))
        state.mission = [u.mission.startswith(s + " ") for s in ("get a", "go get a", "fetch a", "go fetch a",
                                                                  "you must fetch a")].index(True)
    elif name == "PutNearEnv":
        state.target = (*u.target_pos, *kind_of(u.target_type, u.target_color))
        state.aux = (*u.move_pos, *kind_of(u.move_type, u.moveColor))
    elif name == "UnlockEnv":
        state.target = (*place_of(u, u.door), *kind_of("door", u.door.color))
    elif name == "MemoryEnv":
        state.target, state.aux = (*u.success_pos, -1, -1), (*u.failure_pos, -1, -1)
    elif name == "RedBlueDoorEnv":
        state.target = (*place_of(u, u.blue_door), *kind_of("door", "blue"))
        state.aux = (*place_of(u, u.red_door), *kind_of("door", "red"))
    elif name == "DynamicObstaclesEnv":
        state.obstacles = [tuple(map(int, o.cur_pos)) for o in u.obstacles]
    elif hasattr(u, "obj"):
        state.target = (*place_of(u, u.obj), *kind_of(u.obj.type, u.obj.color))
    return state


def make_pair(env_id, mode=AutoresetMode.NEXT_STEP, n=3, wrapper=None, theirs=(), **options):
    """The same environments twice: MiniGrid's, and ours with its levels."""

    def make():
        env = gymnasium.make(env_id, disable_env_checker=True, **dict(theirs))
        return wrapper(env) if wrapper else env

    other = SyncVectorEnv([make] * n, autoreset_mode=mode)
    env = NavixVectorEnv(env_id, n, autoreset_mode=mode, num_threads=1, **options)
    other.reset(seed=5)
    env.reset(seed=5)
    give_levels(env, other, range(n))
    return env, other


def give_levels(env, other, which):
    for i in which:
        env.set_state(i, state_of(other.envs[i]))


def observe_theirs(other):
    """As SyncVectorEnv puts it together."""
    single = [e.get_wrapper_attr("gen_obs")() for e in other.envs]
    return {"image": np.stack([o["image"] for o in single]), "direction": np.array([o["direction"] for o in single]),
            "mission": tuple(o["mission"] for o in single)}


def pick(obs, which):
    if not isinstance(obs, dict):
        return obs[which]
    return {key: tuple(np.array(value, object)[which]) if key == "mission" else value[which] for key, value in obs.items()}


def follow(env, other, steps, rng, seen):
    """The same actions for both, everything compared. New levels are given over as they come."""
    n, moving = env.num_envs, "Dynamic-Obstacles" in env.env_id
    next_step = env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    ended = np.zeros(n, bool)
    for step in range(steps):
        actions = rng.choice(3 if moving else 7, n, p=(0.25, 0.25, 0.5) if moving else (0.15, 0.15, 0.4, 0.1, 0.05, 0.1, 0.05))
        theirs = other.step(actions)
        if moving:
            balls = np.array([[o.cur_pos for o in e.unwrapped.obstacles] for e in other.envs])
            mine = env.step_with_obstacles(actions, balls)
        else:
            mine = env.step(actions)
        what = f"{env.env_id} step {step}"
        assert (mine[1] == theirs[1].astype(np.float32)).all(), f"{what}: rewards {mine[1]}, {theirs[1]}"
        same(mine[2], theirs[2], f"{what} terminations")
        same(mine[3], theirs[3], f"{what} truncations")
        same(mine[4], theirs[4], f"{what} infos")
        was_ended, ended = ended, theirs[2] | theirs[3]
        begins = was_ended if next_step else ended
        same(pick(mine[0], ~begins), pick(theirs[0], ~begins), what)
        assert mine[0] in env.observation_space, what
        give_levels(env, other, np.flatnonzero(begins))
        same(env.observe(), theirs[0], f"{what}, levels given over")
        seen["terminated"] += theirs[2].sum()
        seen["truncated"] += theirs[3].sum()
        seen["rewarded"] += (theirs[1] != 0).sum()


FAMILIES = ["Empty-5x5-v0", "DoorKey-6x6-v0", "FourRooms-v0", "LavaGapS5-v0", "SimpleCrossingS9N3-v0", "LavaCrossingS9N1-v0",
            "DistShift1-v0", "GoToDoor-5x5-v0", "GoToObject-6x6-N2-v0", "Fetch-5x5-N2-v0", "PutNear-6x6-N2-v0",
            "KeyCorridorS3R1-v0", "Unlock-v0", "UnlockPickup-v0", "BlockedUnlockPickup-v0", "ObstructedMaze-1Dlhb-v0",
            "LockedRoom-v0", "MemoryS7-v0", "MultiRoom-N2-S4-v0", "RedBlueDoors-6x6-v0", "Playground-v0"]


def case_minigrid_next_step():
    compare_families(FAMILIES + ["Dynamic-Obstacles-5x5-v0"], AutoresetMode.NEXT_STEP)


def case_minigrid_same_step():  # without balls: where they last went is gone when the next episode has begun
    compare_families(FAMILIES, AutoresetMode.SAME_STEP)


def compare_families(names, mode):
    seen = {"terminated": 0, "truncated": 0, "rewarded": 0}
    for k, name in enumerate(names):
        env, other = make_pair(f"MiniGrid-{name}", mode, theirs={"max_steps": 25}, max_steps=25)
        same(env.observe(), observe_theirs(other), name)
        follow(env, other, 120, np.random.default_rng(k), seen)
        env.close()
    assert min(seen.values()) > 10, f"too little happened: {seen}"


def case_minigrid_view_size_and_walls():
    for size in (3, 9):
        env, other = make_pair("MiniGrid-MultiRoom-N4-S5-v0", n=2, view_size=size, see_through_walls=True,
                               theirs={"agent_view_size": size, "see_through_walls": True})
        follow(env, other, 40, np.random.default_rng(size), dict.fromkeys(("terminated", "truncated", "rewarded"), 0))


def case_minigrid_wrappers():
    kinds = [("full", wrappers.FullyObsWrapper), ("one_hot", wrappers.OneHotPartialObsWrapper),
             ("symbolic", wrappers.SymbolicObsWrapper), ("flat", wrappers.FlatObsWrapper),
             ("rgb", wrappers.RGBImgObsWrapper), ("rgb_first_person", wrappers.RGBImgPartialObsWrapper)]
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        for name, wrapper in kinds:
            pixels = {"tile_size": 8} if name.startswith("rgb") else {}  # the wrappers' own
            # Not a square, so that no axis can be taken for the other.
            env, other = make_pair("MiniGrid-KeyCorridorS3R2-v0", mode, 2, wrapper, {"max_steps": 9}, observation=name,
                                   max_steps=9, **pixels)
            follow(env, other, 25, np.random.default_rng(1), dict.fromkeys(("terminated", "truncated", "rewarded"), 0))
            theirs = other.single_observation_space
            if name not in ("flat", "symbolic"):
                assert env.single_observation_space["image"] == theirs["image"], name
        env, other = make_pair("MiniGrid-DoorKey-5x5-v0", mode, 2, wrappers.ImgObsWrapper, {"max_steps": 9}, image_only=True,
                               max_steps=9)
        assert env.observation_space == other.observation_space
        follow(env, other, 25, np.random.default_rng(1), dict.fromkeys(("terminated", "truncated", "rewarded"), 0))


def case_minigrid_spaces():
    checked = 0
    for env_id in ours.ids():
        if env_id not in gymnasium.registry:  # NAVIX's
            continue
        other = gymnasium.make(env_id, disable_env_checker=True)
        env = NavixVectorEnv(env_id, 2, num_threads=1)
        assert env.single_action_space == other.action_space, f"{env_id}: {env.single_action_space}, {other.action_space}"
        for part in ("image", "direction"):
            assert env.single_observation_space[part] == other.observation_space[part], env_id
        assert env.get_state(0).max_steps == other.unwrapped.max_steps, env_id
        for mission in env.reset(seed=3)[0]["mission"]:
            assert other.observation_space["mission"].contains(mission), f"{env_id}: {mission!r}"
            assert mission in env.single_observation_space["mission"], f"{env_id}: {mission!r}"
        checked += 1
    assert checked >= 76, f"{checked} ids are MiniGrid's"


def case_minigrid_render():
    for pov in (False, True):
        env, other = make_pair("MiniGrid-KeyCorridorS3R2-v0", n=2, theirs={"render_mode": "rgb_array", "agent_pov": pov},
                               render_mode="rgb_array", agent_pov=pov)
        for action in (None, 1, 2):
            if action is not None:
                env.step(np.full(2, action))
                other.step(np.full(2, action))
            for mine, theirs in zip(env.render(), other.render(), strict=True):
                same(mine, theirs, f"frame, agent_pov {pov}")


# ---- alone ----


def case_make_vec():
    env = gymnasium.make_vec("unifloral_navix:unifloral/MiniGrid-DoorKey-8x8-v0", num_envs=3, max_steps=9, autoreset_mode="SameStep")
    assert isinstance(env, NavixVectorEnv) and env.num_envs == 3 and env.spec.id == "unifloral/MiniGrid-DoorKey-8x8-v0"
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP and env.get_state(2).max_steps == 9
    again = gymnasium.make_vec(env.spec)
    assert again.num_envs == 3 and again.get_state(0).max_steps == 9
    assert len(ours.ids()) > 120
    for env_id in ours.ids():
        assert gymnasium.spec(f"unifloral/{env_id}").kwargs == {"env_id": env_id}
    refused("unknown gridworld 'MiniGrid-DorKey-8x8-v0'", NavixVectorEnv, "MiniGrid-DorKey-8x8-v0")


def case_gymnasium_checks():
    for env_id in ("MiniGrid-DoorKey-5x5-v0", "Navix-DoorKey-5x5-v0", "MiniGrid-Playground-v0"):
        for observation in ("first_person", "full", "one_hot", "symbolic", "flat", "rgb", "rgb_first_person", "none",
                            "categorical", "categorical_first_person"):
            if observation.startswith("categorical") and not env_id.startswith("Navix-"):
                continue
            for alone in (False, True)[: 1 + (observation != "none")]:
                env = NavixVectorEnv(env_id, 4, observation=observation, image_only=alone, tile_size=8)
                passive_env_checker.check_space(env.single_observation_space, "observation",
                                                passive_env_checker.check_observation_space)
                passive_env_checker.check_space(env.single_action_space, "action", passive_env_checker.check_action_space)
                assert env.observation_space == gymnasium.vector.utils.batch_space(env.single_observation_space, 4)
                env.action_space.seed(0)
                histories = []
                for _ in range(2):
                    history = [env.reset(seed=9)]
                    env.action_space.seed(0)
                    for _ in range(30):
                        history.append(env.step(env.action_space.sample()))
                        assert history[-1][0] in env.observation_space, observation
                    histories.append(history)
                assert env_checker.data_equivalence(*histories, exact=True), f"{env_id} {observation}: not its seed's"
                # what is batched is one environment's, by index
                single = list(gymnasium.vector.utils.iterate(env.observation_space, histories[0][0][0]))
                assert len(single) == 4 and single[0] in env.single_observation_space


def case_seeds():
    env, other = NavixVectorEnv("MiniGrid-DoorKey-8x8-v0", 4, seed=1, observation="full"), NavixVectorEnv(
        "MiniGrid-DoorKey-8x8-v0", 7, seed=2, observation="full")
    first = other.reset(seed=11)[0]["image"]
    env.step(np.zeros(4, int))
    same(env.reset(seed=11)[0]["image"], first[:4])  # whatever came before, and however many there are
    assert (env.reset()[0]["image"] != first[:4]).any()
    assert (env.reset(seed=12)[0]["image"] != first[:4]).any()
    assert env.np_random_seed == 12
    fresh = [NavixVectorEnv("MiniGrid-DoorKey-8x8-v0", 8, observation="full").reset()[0]["image"] for _ in range(2)]
    assert (fresh[0] != fresh[1]).any()
    seeded = [NavixVectorEnv("MiniGrid-DoorKey-8x8-v0", 8, observation="full", seed=4).reset()[0]["image"] for _ in range(2)]
    same(*seeded)
    env = NavixVectorEnv("MiniGrid-DoorKey-8x8-v0", 8, observation="full", seed=4)
    env.step(np.zeros(8, int))
    same(env.reset()[0]["image"], seeded[0])  # the constructor's seed is the first reset's
    assert (env.reset()[0]["image"] != seeded[0]).any()
    same(env.reset(seed=4)[0]["image"], seeded[0])


def case_missions():
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        env = NavixVectorEnv("MiniGrid-Fetch-5x5-N2-v0", 6, seed=0, max_steps=4, autoreset_mode=mode)
        rng, seen = np.random.default_rng(0), set()

        def check(mission):
            assert mission == tuple(env._mission(i) for i in range(6))
            seen.add(mission)

        check(env.reset()[0]["mission"])
        saved = env.save()
        for _ in range(40):
            check(env.step(rng.integers(0, 7, 6))[0]["mission"])
        env.restore(saved)
        check(env.observe()["mission"])
        check(env.reset(options={"reset_mask": np.arange(6) < 3})[0]["mission"])
        assert len(seen) > 8


def case_disabled_and_reset_mask():
    env = NavixVectorEnv("MiniGrid-Fetch-5x5-N2-v0", 6, autoreset_mode="Disabled", max_steps=3, observation="full")
    env.reset(seed=0)
    for direction in range(3):
        obs, _, _, truncated, infos = env.step(np.zeros(6, int))
        assert infos == {}
    assert truncated.all()
    refused("environment 0 has ended", env.step, np.zeros(6, int))
    mask = np.array([1, 0, 1, 1, 0, 0], bool)
    after, _ = env.reset(options={"reset_mask": mask})
    same(pick(after, ~mask), pick(obs, ~mask))
    assert all((after["image"][i] != obs["image"][i]).any() for i in np.flatnonzero(mask))
    same(after, env.observe())
    for i in range(6):
        assert after["direction"][i] == env.get_state(i).direction
        assert env.get_state(i).step_count == (0 if mask[i] else 3)
    refused("environment 1 has ended", env.step, np.zeros(6, int))
    options = {"reset_mask": ~mask}
    env.reset(options=options)
    assert "reset_mask" in options
    env.step(np.zeros(6, int))
    # the others' chance is theirs: a reset of some does not change what comes to the rest
    one, two = (NavixVectorEnv("MiniGrid-Fetch-5x5-N2-v0", 2, seed=1) for _ in range(2))
    one.reset(), two.reset()
    one.reset(options={"reset_mask": np.array([True, False])})
    same(one.reset()[0]["image"][1], two.reset()[0]["image"][1])
    for wrong in ([True] * 6, np.ones(5, bool), np.ones(6, int), np.zeros(6, bool)):
        refused("expected an array of 6 bools", env.reset, options={"reset_mask": wrong})
    refused("no option 'level'", env.reset, options={"level": 3})
    refused("a seed is of all environments", env.reset, seed=1, options={"reset_mask": mask})


def case_episode_statistics():
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        settings = {"num_envs": 5, "seed": 3, "max_steps": 30, "autoreset_mode": mode}
        wrapped = RecordEpisodeStatistics(NavixVectorEnv("MiniGrid-Empty-5x5-v0", **settings))
        env = NavixVectorEnv("MiniGrid-Empty-5x5-v0", episode_statistics=True, **settings)
        wrapped.reset(), env.reset()
        rng, episodes = np.random.default_rng(0), 0
        for _ in range(200):
            actions = rng.integers(0, 3, 5)
            mine, theirs = env.step(actions)[4], wrapped.step(actions)[4]
            assert ("episode" in mine) == ("episode" in theirs)
            if "episode" in mine:
                same(mine["_episode"], theirs["_episode"])
                same(mine["episode"]["l"], theirs["episode"]["l"])
                same(mine["episode"]["r"], theirs["episode"]["r"].astype(np.float32))  # one reward: nothing is summed
                episodes += mine["_episode"].sum()
        assert episodes == wrapped.episode_count > 30


def case_copy():
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        settings = {"num_envs": 4, "seed": 0, "max_steps": 7, "autoreset_mode": mode}
        env, other = (NavixVectorEnv("MiniGrid-DoorKey-5x5-v0", copy=copy, **settings) for copy in (True, False))
        kept, shared = env.reset()[0], other.reset()[0]
        same(kept, shared)
        before = {key: kept[key].copy() for key in ("image", "direction")}
        finals = []
        for step in range(20):
            actions = np.array([0, 1, 2, step % 7])
            mine, theirs = env.step(actions), other.step(actions)
            same(mine[0], theirs[0])
            same(mine[4], theirs[4])
            assert np.shares_memory(theirs[0]["image"], shared["image"]) and theirs[0]["direction"] is shared["direction"]
            assert not np.shares_memory(mine[0]["image"], kept["image"])
            finals += [(f["image"], f["image"].copy()) for f in theirs[4].get("final_obs", []) if f is not None]
        same({key: kept[key] for key in before}, before)
        assert (len(finals) > 0) == (mode == AutoresetMode.SAME_STEP)
        for kept_final, then in finals:  # a last observation is its own
            same(kept_final, then)


def case_axes():
    env = NavixVectorEnv("MiniGrid-KeyCorridorS3R2-v0", 2, observation="full")  # 7 wide, 5 high
    rows = NavixVectorEnv("MiniGrid-KeyCorridorS3R2-v0", 2, observation="full", row_major=True)
    a, b = env.reset(seed=1)[0]["image"], rows.reset(seed=1)[0]["image"]
    assert a.shape == (2, 7, 5, 3) and b.shape == (2, 5, 7, 3)
    same(a, b.swapaxes(1, 2))
    state = env.get_state(1)
    assert a[1, state.x, state.y, 0] == 10 and b[1, state.y, state.x, 0] == 10
    assert a.base is not None and b.flags.c_contiguous  # a view
    navix = NavixVectorEnv("Navix-KeyCorridorS3R2-v0", 1, observation="full")
    assert navix.single_observation_space["image"].shape == navix.get_state(0).grid.shape
    state = navix.get_state(0)
    assert navix.observe()["image"][0, state.y, state.x, 0] == 10


def case_states():
    env = NavixVectorEnv("MiniGrid-ObstructedMaze-1Dlh-v0", 3, observation="full", seed=0)
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(60):
        env.step(rng.integers(0, 7, 3))
    env.set_state(0, env.get_state(2))
    state, other = env.get_state(0), env.get_state(2)
    assert (state.contents[..., 0] != 1).any() or state.carrying_contents[0] != 1  # the key in a box
    same(vars(state), vars(other))
    obs = env.observe()
    same(obs["image"][0], obs["image"][2])
    assert obs["direction"][0] == obs["direction"][2]
    saved = pickle.loads(pickle.dumps(env.save()))
    actions = rng.integers(0, 7, (40, 3))
    went = [env.step(a) for a in actions]
    env.restore(saved)
    for one, a in zip(went, actions, strict=True):
        same(one[0], env.step(a)[0])
    state.direction = 4
    refused("direction 4", env.set_state, 0, state)
    state.direction, state.grid = 0, state.grid[1:]
    refused("grid of shape (5, 11, 3); expected (6, 11, 3)", env.set_state, 0, state)
    refused("environment 3 of 3", env.get_state, 3)
    refused("saved blocks of shape", NavixVectorEnv("MiniGrid-Empty-5x5-v0", 3).restore, saved)
    saved["blocks"][:] = 255
    refused("the saved environment 0 is no state", env.restore, saved)


def case_navix_options():
    env = NavixVectorEnv("MiniGrid-Empty-5x5-v0", 1, rules="navix", reward=("goal", "time_cost"), num_actions=10, penalty_coef=0.5)
    env.reset()
    assert env.single_action_space.n == 10
    assert env.step(np.array([9]))[1][0] == np.float32(-0.01)
    assert NavixVectorEnv("Navix-Empty-5x5-v0").step(np.array([0]))[1][0] == 0


def case_refused():
    make = NavixVectorEnv
    door_key = "MiniGrid-DoorKey-8x8-v0"
    refused("view_size 4; expected an odd number", make, door_key, view_size=4)
    refused("unknown observation 'ful'", make, door_key, observation="ful")
    refused("rules 'mini'", make, door_key, rules="mini")
    refused("render_mode 'human'", make, door_key, render_mode="human")
    refused("reward 'gaol'; expected some of goal", make, door_key, rules="navix", reward="gaol")
    refused("reward and penalty_coef are of NAVIX's rules", make, door_key, reward="goal")
    refused("leaves nothing to observe", make, door_key, observation="none", image_only=True)
    refused("num_envs 0", make, door_key, 0)
    refused("num_envs 2.5", make, door_key, 2.5)
    refused("max_steps 0", make, door_key, max_steps=0)
    refused("max_steps 4294967297", make, door_key, max_steps=2**32 + 1)
    refused("this machine has", make, door_key, 10**13, kind=MemoryError)
    refused("seed -1", make, door_key, seed=-1)
    env = make(door_key, 3, max_steps=5)
    env.reset()
    before = env.observe()["image"]
    refused("action 7 of environment 1; expected 0 to 6", env.step, np.array([0, 7, 0]))
    refused("action 256 of environment 2; expected 0 to 6", env.step, np.array([0, 0, 256]))
    refused("action -1 of environment 0", env.step, np.array([-1, 0, 0]))
    refused("actions of shape (2,)", env.step, np.array([0, 0]))
    refused("float64", env.step, np.zeros(3))
    refused("has no obstacles that move", env.step_with_obstacles, np.zeros(3, int), np.zeros((3, 0, 2)))
    refused("seed [1, 2, 3]", env.reset, seed=[1, 2, 3])
    refused("render needs render_mode='rgb_array'", env.render)
    same(env.observe()["image"], before)
    env.close()
    env.close()
    refused("the environments are closed", env.step, np.zeros(3, int), kind=gymnasium.error.ClosedEnvironmentError)


def case_options_are_the_librarys():
    """Every field of the structs of navix.h, in its order."""
    header = open("navix.h").read()
    for name, struct in (("NxOptions", ours._Options), ("NxOutput", ours._Output), ("NxShape", ours._Shape),
                         ("NxState", ours._State)):
        body = header.split(f"typedef struct {name} {{")[1].split(f"}} {name};")[0]
        code = " ".join(line.split("//")[0] for line in body.splitlines())
        fields = [part.split("[")[0].strip(" *").split()[-1].strip("*")
                  for statement in code.split(";") if statement.strip() for part in statement.split(",")]
        assert fields == [f[0] for f in struct._fields_], f"{name}: {fields}"
    wanted = set(inspect.signature(NavixVectorEnv).parameters)
    missing = {f[0] for f in ours._Options._fields_} - wanted - {"autoreset", "device"}
    assert not missing, missing


def case_library_elsewhere():
    """What is said where there is no library, or another one."""
    folder = os.environ["TEST_FOLDER"]

    def load(path):
        done = subprocess.run([sys.executable, "-c", "import unifloral_navix"], capture_output=True, text=True,
                              env={**os.environ, "UNIFLORAL_LIBRARY": path})
        return done.returncode, done.stderr

    status, said = load("/nowhere/libunifloral.so.0")
    assert status == 1 and "ImportError: cannot load libunifloral.so.0" in said and "build it with make" in said, said
    for source, sentence in (('const char* uf_version(void) { return "0.1.0"; }', "is version 0.1.0, this module is for "),
                             (f'const char* uf_version(void) {{ return "{ours.VERSION}"; }}', "build it anew with make"),
                             ("int nothing;", "build it anew with make")):
        other = os.path.join(folder, "libother.so")
        subprocess.run([*shlex.split(os.environ.get("CC", "gcc")), "-shared", "-fPIC", "-x", "c", "-", "-o", other], input=source, text=True,
                       check=True)
        status, said = load(other)
        assert status == 1 and sentence in said, said


def case_library_found():
    """Beside the module, above it, in an installation's lib/, by pkg-config: the first of them."""
    stage, real = os.path.join(os.environ["TEST_FOLDER"], "stage"), os.path.realpath(os.environ["UNIFLORAL_LIBRARY"])
    module = os.path.join(stage, "share", "unifloral", "python")
    os.makedirs(module)
    shutil.copy(ours.__file__, module)
    with open(os.path.join(stage, "unifloral.pc"), "w") as file:
        file.write(f"libdir={stage}/elsewhere\nName: unifloral\nDescription: staged\nVersion: {ours.VERSION}\n")
    env = {**os.environ, "PYTHONPATH": module, "PKG_CONFIG_PATH": stage}
    del env["UNIFLORAL_LIBRARY"]
    folders = [os.path.join(stage, "lib"), os.path.dirname(module), module]
    if shutil.which("pkg-config"):
        folders.insert(0, os.path.join(stage, "elsewhere"))
    for folder in folders:  # each before those that were there already
        os.makedirs(folder, exist_ok=True)
        os.symlink(real, os.path.join(folder, "libunifloral.so.0"))
        done = subprocess.run([sys.executable, "-c", "import unifloral_navix as u, os; print(os.path.realpath(os.path.dirname("
                               "u._library._name)))"], capture_output=True, text=True, env=env)
        assert done.stdout.strip() == os.path.realpath(folder), f"{folder}: {done.stdout}{done.stderr}"


def main():
    failed = 0
    for name, case in list(globals().items()):
        if not name.startswith("case_"):
            continue
        title = name[5:].replace("_", " ")
        if minigrid is None and title.startswith("minigrid"):
            print(f"skip {title}: {sys.executable} has no minigrid (pip install minigrid==3.2.0)")
            continue
        try:
            case()
            print(f"ok {title}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {title}", flush=True)
            print("    " + traceback.format_exc().strip().replace("\n", "\n    "), flush=True)
    sys.exit(failed > 0)


main()
