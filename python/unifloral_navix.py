"""MiniGrid's and NAVIX's gridworlds of unifloral.c as a gymnasium vector environment.

    import gymnasium
    envs = gymnasium.make_vec("unifloral_navix:unifloral/MiniGrid-DoorKey-8x8-v0", num_envs=2048)

or, the same, unifloral_navix.NavixVectorEnv("MiniGrid-DoorKey-8x8-v0", num_envs=2048). Observations, spaces, infos and
autoreset are those of gymnasium.vector.SyncVectorEnv over MiniGrid's own environments, so that one can take the other's
place; README.md beside this file lists what differs. What the rules are is said in navix.h.

Needs numpy, gymnasium 1.1 or later, and libunifloral.so.0: the file that UNIFLORAL_LIBRARY names, or the first of beside
this module, in the folder above (the repository), in the lib/ of an installation, where pkg-config or the system's loader
knows it.

1 the library  2 states  3 the environment  4 registration
"""

import ctypes
import os
import secrets
import subprocess
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from dataclasses import dataclass, field

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

VERSION = "0.6.0"  # of the library whose structs these are

# ---- 1 the library ----

# As in navix.h, field by field.
RULES = {None: 0, "minigrid": 1, "navix": 2}
AUTORESET = {AutoresetMode.NEXT_STEP: 0, AutoresetMode.SAME_STEP: 1, AutoresetMode.DISABLED: 2}
REWARDS = {"goal": 1, "action_cost": 2, "time_cost": 4, "wall_hit": 8}
MAX_CELLS, MAX_OBSTACLES = 1024, 64
OK, ERR_MEMORY = 0, 5


class _Options(ctypes.Structure):
    _fields_ = [("rules", c_int), ("observation", c_int), ("autoreset", c_int), ("max_steps", c_int), ("view_size", c_int),
                ("see_through_walls", c_int), ("tile_size", c_int), ("reward", c_int), ("penalty_coef", c_double),
                ("num_actions", c_int), ("num_threads", c_int), ("device", c_char_p)]


class _Output(ctypes.Structure):
    _fields_ = [(name, c_void_p) for name in ("obs", "final_obs", "reward", "terminated", "truncated", "direction",
                                              "episode_return", "episode_length", "final_direction")]


class _Shape(ctypes.Structure):
    _fields_ = [("num_dims", c_int), ("dims", c_int * 3), ("item_bytes", c_int), ("bytes", c_size_t)]


class _State(ctypes.Structure):
    _fields_ = [("x", c_int), ("y", c_int), ("direction", c_int), ("step_count", c_int), ("max_steps", c_int),
                ("carrying", c_uint8 * 3), ("carrying_contents", c_uint8 * 3), ("target", c_int * 4), ("aux", c_int * 4),
                ("mission", c_int), ("events", c_int), ("num_obstacles", c_int),
                ("obstacles", c_int32 * 2 * MAX_OBSTACLES), ("grid", c_void_p), ("contents", c_void_p)]


_BATCH = c_void_p
_FUNCTIONS = {
    "uf_error": (c_char_p, []),
    "nx_id": (c_char_p, [c_int]),
    "nx_find_observation": (c_int, [POINTER(c_int), c_char_p]),
    "nx_default_options": (None, [POINTER(_Options)]),
    "nx_create": (c_int, [POINTER(_BATCH), c_char_p, c_int64, c_uint64, POINTER(_Options)]),
    "nx_free": (None, [_BATCH]),
    "nx_shape": (_Shape, [_BATCH]),
    "nx_seed": (c_int, [_BATCH, c_uint64]),
    "nx_reset": (c_int, [_BATCH, POINTER(_Output)]),
    "nx_step": (c_int, [_BATCH, c_void_p, POINTER(_Output)]),
    "nx_step_with_obstacles": (c_int, [_BATCH, c_void_p, c_void_p, POINTER(_Output)]),
    "nx_show": (c_int, [_BATCH, c_void_p]),
    "nx_get_state": (c_int, [_BATCH, c_int64, POINTER(_State)]),
    "nx_set_state": (c_int, [_BATCH, c_int64, POINTER(_State)]),
    "nx_save_bytes": (c_size_t, [_BATCH]),
    "nx_save": (c_int, [_BATCH, c_void_p]),
    "nx_restore": (c_int, [_BATCH, c_void_p]),
    "nx_mission": (c_int, [_BATCH, c_int64, c_char_p]),
    "nx_mission_varies": (c_int, [_BATCH]),
}
_NAME = "libunifloral.so.0"


def _places():
    """Where the library may be, the likeliest first."""
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in (here, os.path.dirname(here), os.path.join(here, "..", "..", "..", "lib")):
        yield os.path.join(folder, _NAME)
    try:
        said = subprocess.run(["pkg-config", "--variable=libdir", "unifloral"], capture_output=True, text=True)
        if said.returncode == 0:
            yield os.path.join(said.stdout.strip(), _NAME)
    except OSError:
        pass  # there is no pkg-config


def _load():
    path = os.environ.get("UNIFLORAL_LIBRARY") or next(filter(os.path.exists, _places()), _NAME)
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"cannot load {_NAME} ({error}); build it with make, or let the environment variable "
                          "UNIFLORAL_LIBRARY name it") from None
    try:
        library.uf_version.restype = c_char_p
        found = library.uf_version().decode()
        if found != VERSION:
            raise ImportError(f"{path} is version {found}, this module is for {VERSION}; take both from one version")
        for name, (result, arguments) in _FUNCTIONS.items():
            getattr(library, name).restype, getattr(library, name).argtypes = result, arguments
    except AttributeError as error:
        raise ImportError(f"{path} is not of this module's version, {VERSION} ({error}); build it anew with make") from None
    return library


_library = _load()


def _check(status):
    if status != OK:
        raise (MemoryError if status == ERR_MEMORY else ValueError)(_library.uf_error().decode())


def _address(array):
    return None if array is None else array.ctypes.data


def ids():
    """Every id, MiniGrid's and NAVIX's."""
    found = []
    while name := _library.nx_id(len(found)):
        found.append(name.decode())
    return found


# ---- 2 states ----


@dataclass
class State:
    """One environment's state, as NxState in navix.h says it: places are (x, y), grids [y][x] of type, colour, state."""

    x: int
    y: int
    direction: int
    grid: np.ndarray  # (H, W, 3), without the agent
    max_steps: int
    step_count: int = 0
    contents: np.ndarray | None = None  # (H, W, 3): what boxes hold
    carrying: tuple = (1, 0, 0)  # nothing
    carrying_contents: tuple = (1, 0, 0)
    target: tuple = (-1, -1, -1, -1)  # x, y, type, colour
    aux: tuple = (-1, -1, -1, -1)
    mission: int = 0
    events: int = 0
    obstacles: list = field(default_factory=list)  # (x, y) each


_NUMBERS = ("x", "y", "direction", "step_count", "max_steps", "mission", "events")
_ARRAYS = ("carrying", "carrying_contents", "target", "aux")

# ---- 3 the environment ----

_LETTERS = "abcdefghijklmnopqrstuvwxyz ,"  # of missions


class _Batch:
    """An NxBatch with its shape."""

    def __init__(self, env_id, num_envs, seed, options):
        self.handle = _BATCH()
        _check(_library.nx_create(byref(self.handle), env_id.encode(), num_envs, seed, byref(options)))
        shape = _library.nx_shape(self.handle)
        self.shape = (num_envs, *shape.dims[: shape.num_dims])
        self.dtype = np.dtype({1: np.uint8, 4: np.int32, 8: np.int64}[shape.item_bytes])

    def new_array(self):
        return np.empty(self.shape, self.dtype)

    def free(self):
        _library.nx_free(self.handle)
        self.handle = _BATCH()


class _Arrays:
    """What one call writes, and the struct that says where."""

    def __init__(self, batch, has_obs, num_envs):
        self.obs = batch.new_array() if has_obs else None
        self.reward = np.empty(num_envs, np.float32)
        self.terminated, self.truncated = np.empty(num_envs, np.uint8), np.empty(num_envs, np.uint8)
        self.direction = np.empty(num_envs, np.int64)  # what users get; the library's bytes are widened into it


class NavixVectorEnv(VectorEnv):
    """num_envs gridworlds in one batch of navix.h.

    env_id             "MiniGrid-DoorKey-8x8-v0", "Navix-Empty-5x5-v0", ...: ids()
    seed               as if the first reset had it; None: from the operating system
    observation        "first_person" (MiniGrid's), "full", "one_hot", "symbolic", "flat", "rgb", "rgb_first_person",
                       "categorical", "categorical_first_person", "none"
    image_only         the image alone instead of the dict of image, direction and mission ("flat" always is alone)
    autoreset_mode     gymnasium's AutoresetMode or its name
    copy               False: reset and step return the same arrays each time, written in place
    row_major          images as [row y][column x]; False: [column][row], as MiniGrid has them, without a copy. None: as the
                       rules' original has them. Pixels are always [row][column].
    episode_statistics infos["episode"], ["r"] and ["l"] at the end of episodes, as of RecordEpisodeStatistics without its "t"
    render_mode        "rgb_array" or None; agent_pov: render what the agent sees instead of the map
    rules, max_steps, view_size, see_through_walls, tile_size, reward, penalty_coef, num_actions, num_threads
                       NxOptions of navix.h; None: the id's, or the default. reward: names of terms, such as
                       ("goal", "time_cost")
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, env_id, num_envs=1, *, seed=None, observation="first_person", image_only=False,
                 autoreset_mode=AutoresetMode.NEXT_STEP, copy=True, row_major=None, episode_statistics=False,
                 render_mode=None, agent_pov=False, rules=None, max_steps=None, view_size=None, see_through_walls=None,
                 tile_size=None, reward=None, penalty_coef=0.0, num_actions=None, num_threads=None):
        self._batch = self._painter = None
        self.env_id, self.num_envs, self.render_mode = env_id, num_envs, render_mode
        self._check_whole("num_envs", num_envs, 1, 2**62)
        if rules not in RULES:
            raise ValueError(f"{env_id}: rules {rules!r}; expected 'minigrid', 'navix', or None for the id's")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"{env_id}: render_mode {render_mode!r}; expected 'rgb_array' or None")
        if image_only and observation == "none":
            raise ValueError(f"{env_id}: image_only with observation 'none' leaves nothing to observe")
        terms = (reward,) if isinstance(reward, str) else tuple(reward or ())
        for term in terms:
            if term not in REWARDS:
                raise ValueError(f"{env_id}: reward {term!r}; expected some of {', '.join(REWARDS)}")
        mode = AutoresetMode(autoreset_mode)
        options = _Options()
        _library.nx_default_options(byref(options))
        options.rules = RULES[rules]
        options.observation = self._find_observation(observation)
        options.autoreset = AUTORESET[mode]
        for name, value in (("max_steps", max_steps), ("view_size", view_size), ("tile_size", tile_size),
                            ("num_actions", num_actions), ("num_threads", num_threads)):
            if value is not None:
                # 0 is None to the library, and what is too large would wrap around
                setattr(options, name, self._check_whole(name, value, 1, 2**31 - 1))
        if see_through_walls is not None:
            options.see_through_walls = bool(see_through_walls)
        options.reward = sum(REWARDS[term] for term in set(terms))
        options.penalty_coef = penalty_coef

        self.metadata = {**self.metadata, "autoreset_mode": mode}
        self._mode, self._copy, self._options, self._agent_pov = mode, copy, options, agent_pov
        self._statistics = episode_statistics
        self._first_seed = secrets.randbits(64) if seed is None else self._check_seed(seed)
        self._batch = _Batch(env_id, num_envs, self._first_seed, options)

        self._navix = rules == "navix" or (rules is None and env_id.startswith("Navix-"))
        self._flat = observation == "flat"
        self._alone = image_only or self._flat
        self._has_image = observation != "none"
        self._turn = not (self._flat or observation.startswith("rgb") or (self._navix if row_major is None else row_major))
        # The map's sides, which states need and only this observation tells.
        one = _Batch(env_id, 1, 0, self._options_with("full"))
        self._map_shape = one.shape[1:]
        one.free()
        self._make_spaces(observation)

        n = num_envs
        self._arrays = None if copy else self._new_arrays()
        self._direction, self._final_direction = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        self._return, self._length = np.zeros(n, np.float32), np.zeros(n, np.int32)
        self._final_obs = self._batch.new_array() if mode == AutoresetMode.SAME_STEP and self._has_image else None
        self._ended = np.zeros(n, bool)
        self._has_missions = not self._alone and _library.nx_mission_varies(self._batch.handle)
        self._missions = [self._mission(0)] * n
        self._mission_tuple = tuple(self._missions)
        self._read_missions(range(n))

    @staticmethod
    def _find_observation(name):
        found = c_int()
        _check(_library.nx_find_observation(byref(found), str(name).encode()))
        return found.value

    def _check_whole(self, name, value, low, high):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
            raise ValueError(f"{self.env_id}: {name} {value!r}; expected a whole number from {low} to {high}")
        return int(value)

    def _check_seed(self, seed):  # one for all: each environment's stream follows from it and the index
        return self._check_whole("seed", seed, 0, 2**64 - 1)

    def _options_with(self, observation):
        options = _Options.from_buffer_copy(self._options)
        options.observation = self._find_observation(observation)
        return options

    def _make_spaces(self, observation):
        shape, dtype = self._batch.shape[1:], self._batch.dtype
        if self._turn:
            shape = (shape[1], shape[0], *shape[2:])
        low, high = (0, 255) if dtype == np.uint8 else (-1, 100)
        if observation == "symbolic":
            high = max(*self._map_shape[:2], 11) - 1
        image = spaces.Box(low, high, shape, dtype) if self._has_image else None
        parts = {"direction": spaces.Discrete(4), "mission": spaces.Text(127, min_length=0, charset=_LETTERS)}
        if image is not None:
            parts["image"] = image
        self.single_observation_space = image if self._alone else spaces.Dict(parts)
        # MiniGrid offers three actions where balls move; the others turn left there.
        only_moves = not self._navix and self.get_state(0).obstacles
        self.single_action_space = spaces.Discrete(3 if only_moves else self._options.num_actions or 7)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        if self._alone:
            self.observation_space = batch_space(image, self.num_envs)
        else:  # one space for all missions: batch_space would copy it for each
            self.observation_space = spaces.Dict({
                name: spaces.Tuple((space,) * self.num_envs) if name == "mission" else batch_space(space, self.num_envs)
                for name, space in parts.items()})

    # -- arrays --

    def _new_arrays(self):
        return _Arrays(self._batch, self._has_image, self.num_envs)

    def _call(self, function, *arguments):
        """Has the library write one call's arrays."""
        arrays = self._arrays or self._new_arrays()
        output = _Output(_address(arrays.obs), _address(self._final_obs), _address(arrays.reward),
                         _address(arrays.terminated), _address(arrays.truncated), _address(self._direction),
                         _address(self._return), _address(self._length), _address(self._final_direction))
        _check(function(self._batch.handle, *arguments, byref(output)))
        return arrays

    def _image(self, obs):
        return obs.swapaxes(1, 2) if self._turn else obs

    def _observation(self, arrays):
        if self._alone:
            return self._image(arrays.obs)
        arrays.direction[:] = self._direction
        observation = {"direction": arrays.direction, "mission": self._mission_tuple}
        if self._has_image:
            observation["image"] = self._image(arrays.obs)
        return observation

    def _mission(self, env):
        text = ctypes.create_string_buffer(128)
        _check(_library.nx_mission(self._batch.handle, env, text))
        return text.value.decode()

    def _read_missions(self, envs):
        if self._has_missions:
            for i in envs:
                self._missions[i] = self._mission(int(i))
            self._mission_tuple = tuple(self._missions)

    # -- gymnasium's interface --

    def reset(self, *, seed=None, options=None):
        """Starts new episodes. seed: of all levels from now on; options: {"reset_mask": where}, as in SyncVectorEnv."""
        self._check_open()
        mask = self._check_reset_options(seed, options)
        super().reset(seed=seed)
        if seed is None and mask is None:  # the first reset gives the constructor's first levels
            seed = self._first_seed
        if seed is not None:
            _check(_library.nx_seed(self._batch.handle, self._check_seed(seed)))
        self._first_seed = None
        if mask is None:
            arrays = self._call(_library.nx_reset)
            self._ended[:] = False
            self._read_missions(range(self.num_envs))
        else:
            arrays = self._reset_where(mask)
        return self._observation(arrays), {}

    def _check_reset_options(self, seed, options):
        if seed is not None:
            self._check_seed(seed)
        unknown = set(options or {}) - {"reset_mask"}
        if unknown:
            raise ValueError(f"{self.env_id}: reset has no option {sorted(unknown)[0]!r}; expected 'reset_mask'")
        if not options:
            return None
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(f"{self.env_id}: options['reset_mask'] is {mask!r}; expected an array of {self.num_envs} "
                             "bools, some of them True")
        if seed is not None:
            raise ValueError(f"{self.env_id}: seed {seed} with reset_mask; a seed is of all environments, reset them all")
        return mask

    def _reset_where(self, mask):
        """All begin anew, then the others go back to where they were."""
        before, directions = self._save(), self._direction.copy()
        arrays = self._call(_library.nx_reset)
        after = self._save()
        after[~mask] = before[~mask]
        _check(_library.nx_restore(self._batch.handle, _address(after)))
        self._direction[~mask] = directions[~mask]
        self._ended[mask] = False
        self._read_missions(np.flatnonzero(mask))
        if self._has_image:
            _check(_library.nx_show(self._batch.handle, _address(arrays.obs)))
        return arrays

    def step(self, actions):
        """One step of each environment, or its reset, as autoreset_mode has it."""
        return self._step(actions, None)

    def step_with_obstacles(self, actions, positions):
        """A step of Dynamic-Obstacles whose balls go to positions (num_envs, number of balls, 2), each (x, y)."""
        count = len(self.get_state(0).obstacles)
        positions = np.ascontiguousarray(positions, np.int32)
        if positions.shape != (self.num_envs, count, 2):
            raise ValueError(f"{self.env_id}: positions of shape {positions.shape}; expected {(self.num_envs, count, 2)}")
        return self._step(actions, positions)

    def _step(self, actions, positions):
        self._check_open()
        actions = self._check_actions(actions)
        if self._mode == AutoresetMode.DISABLED and self._ended.any():
            raise ValueError(f"{self.env_id}: environment {self._ended.argmax()} has ended; with autoreset disabled, reset it "
                             "by reset(options={'reset_mask': ...}) before the next step")
        if positions is None:
            arrays = self._call(_library.nx_step, _address(actions))
        else:
            arrays = self._call(_library.nx_step_with_obstacles, _address(actions), _address(positions))
        terminated, truncated = arrays.terminated.view(np.bool_), arrays.truncated.view(np.bool_)
        ended = terminated | truncated
        infos = {}
        if ended.any():
            if self._mode == AutoresetMode.SAME_STEP:
                self._add_final(infos, ended)
                self._read_missions(np.flatnonzero(ended))
            if self._statistics:
                infos["episode"] = {"r": np.where(ended, self._return, 0), "l": np.where(ended, self._length, 0)}
                infos["_episode"] = ended.copy()
        if self._mode == AutoresetMode.NEXT_STEP and self._ended.any():
            self._read_missions(np.flatnonzero(self._ended))
        self._ended = ended
        return self._observation(arrays), arrays.reward, terminated, truncated, infos

    def _check_actions(self, actions):
        given = np.asarray(actions)
        if given.shape != (self.num_envs,) or given.dtype.kind not in "iu":
            raise ValueError(f"{self.env_id}: actions of shape {given.shape} and type {given.dtype}; expected "
                             f"{self.num_envs} whole numbers")
        taken = np.ascontiguousarray(given, np.uint8)
        if given.dtype != np.uint8 and (taken != given).any():
            i = int((taken != given).argmax())
            raise ValueError(f"{self.env_id}: action {given[i]} of environment {i}; expected 0 to "
                             f"{self.single_action_space.n - 1}")
        return taken

    def _add_final(self, infos, ended):
        """The last observations of ended episodes, before their missions are read anew."""
        final = np.full(self.num_envs, None, object)
        images = self._image(self._final_obs) if self._has_image else None
        for i in np.flatnonzero(ended):
            image = images[i].copy() if self._has_image else None
            if self._alone:
                final[i] = image
            else:
                final[i] = {"direction": int(self._final_direction[i]), "mission": self._missions[i]}
                if self._has_image:
                    final[i]["image"] = image
        infos.update(final_obs=final, _final_obs=ended.copy(), final_info={}, _final_info=ended.copy())

    def render(self):
        """The frames of all environments, as MiniGrid's render draws them: a tuple of (height, width, 3) u8."""
        self._check_open()
        if self.render_mode is None:
            raise ValueError(f"{self.env_id}: render needs render_mode='rgb_array' when the environments are made")
        if self._painter is None:  # the same batch with pixels for observations
            kind = "rgb_first_person" if self._agent_pov else "rgb"
            self._painter = _Batch(self.env_id, self.num_envs, 0, self._options_with(kind))
        blocks, frames = self._save(), self._painter.new_array()
        _check(_library.nx_restore(self._painter.handle, _address(blocks)))
        _check(_library.nx_show(self._painter.handle, _address(frames)))
        return tuple(frames)

    def close_extras(self, **kwargs):
        for batch in (self._batch, self._painter):
            if batch is not None:
                batch.free()

    def __del__(self):
        if getattr(self, "_batch", None) is not None:
            self.close()

    def _check_open(self):
        if self.closed:
            raise gymnasium.error.ClosedEnvironmentError(f"{self.env_id}: the environments are closed")

    # -- states --

    def _save(self):
        """A row of bytes for each environment."""
        blocks = np.empty((self.num_envs, _library.nx_save_bytes(self._batch.handle) // self.num_envs), np.uint8)
        _check(_library.nx_save(self._batch.handle, _address(blocks)))
        return blocks

    def save(self):
        """All of the batch, randomness included, for restore of an environment of the same id, options and num_envs."""
        self._check_open()
        return {"blocks": self._save(), "ended": self._ended.copy(), "direction": self._direction.copy()}

    def restore(self, saved):
        self._check_open()
        blocks = np.ascontiguousarray(saved["blocks"], np.uint8)
        expected = (self.num_envs, _library.nx_save_bytes(self._batch.handle) // self.num_envs)
        if blocks.shape != expected:
            raise ValueError(f"{self.env_id}: saved blocks of shape {blocks.shape}; expected {expected}")
        _check(_library.nx_restore(self._batch.handle, _address(blocks)))
        self._ended[:], self._direction[:] = saved["ended"], saved["direction"]
        self._read_missions(range(self.num_envs))

    def observe(self):
        """The observations as they are, without a step: after set_state."""
        self._check_open()
        arrays = self._arrays or self._new_arrays()
        if self._has_image:
            _check(_library.nx_show(self._batch.handle, _address(arrays.obs)))
        return self._observation(arrays)

    def get_state(self, env):
        self._check_open()
        grid, contents = np.empty(self._map_shape, np.uint8), np.empty(self._map_shape, np.uint8)
        state = _State(grid=_address(grid), contents=_address(contents))
        _check(_library.nx_get_state(self._batch.handle, env, byref(state)))
        return State(grid=grid, contents=contents, obstacles=[tuple(o) for o in state.obstacles[: state.num_obstacles]],
                     **{name: getattr(state, name) for name in _NUMBERS},
                     **{name: tuple(getattr(state, name)) for name in _ARRAYS})

    def set_state(self, env, state):
        """Puts an environment into a State, in the middle of an episode."""
        self._check_open()
        arrays = {}
        for name in ("grid", "contents"):
            value = getattr(state, name)
            arrays[name] = None if value is None else np.ascontiguousarray(value, np.uint8)
            if value is not None and arrays[name].shape != self._map_shape:
                raise ValueError(f"{self.env_id}: {name} of shape {arrays[name].shape}; expected {self._map_shape}")
        if len(state.obstacles) > MAX_OBSTACLES:
            raise ValueError(f"{self.env_id}: {len(state.obstacles)} obstacles; expected at most {MAX_OBSTACLES}")
        written = _State(num_obstacles=len(state.obstacles), **{name: _address(arrays[name]) for name in arrays},
                         **{name: int(getattr(state, name)) for name in _NUMBERS})
        for name in _ARRAYS:
            setattr(written, name, type(getattr(written, name))(*map(int, getattr(state, name))))
        for i, place in enumerate(state.obstacles):
            written.obstacles[i][:] = [int(number) for number in place]
        _check(_library.nx_set_state(self._batch.handle, env, byref(written)))
        self._direction[env], self._ended[env] = state.direction, False
        self._read_missions([env])


# ---- 4 registration ----


def register():
    """Every id as "unifloral/ID" for gymnasium.make_vec; done when this module is imported."""
    for env_id in ids():
        if f"unifloral/{env_id}" not in gymnasium.registry:
            gymnasium.register(f"unifloral/{env_id}", vector_entry_point=NavixVectorEnv, kwargs={"env_id": env_id})


register()
