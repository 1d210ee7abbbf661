#!/usr/bin/env python3
"""Double-precision reference of one offline-RL update, and a maker of recorded-update files.

    python make_update_files.py replay FILE...                      worst error per network and per loss
    python make_update_files.py make OUTDIR [--seed S] [--count N]  write N update_<label>.h5

Needs numpy, h5py and jax (CPU).  It follows the program's specification, sections 1, 2, 3 and 9, for every
point of the configuration space; where dataset_sample_ratio < 1 the last rows of a batch stand for model rollouts; every gradient comes from jax.grad.  `make` is deterministic in
--seed: the named points of points() come first, random points after them, and a file depends only on its
label and the seed.  `replay` exits 1 above --limit.

The ten recorded files came from unrounded doubles but hold init, batch and noise rounded to float32, so no replay of
them can be closer than about 2e-7.  Solving for inputs that round to the stored ones brought step 0 of rebrac, td3_bc
and td3_awr to about 1e-12 on outputs the solver had not seen.  Files made here hold exactly the inputs used: they
replay to 1e-14 on the same machine (edac_det_ln_1000, one action dimension, is ill-conditioned: 1e-10 elsewhere).

Scalars in step<t>/losses (mean = mean over the B batch rows; "U-mean" = further averaged over the U critic
updates of the step; a scalar is there only when its condition holds):
  alpha          (use_entropy_loss) exp(log_alpha) AFTER this step's Adam step on log_alpha
  alpha_loss     (use_entropy_loss) log_alpha BEFORE that step * (mean(-log pi(a|s)) + A)
  actor_loss     (always) what the actor minimises, before its step: mean(bc_coef * w * L_bc) - q_coef * lambda * mean(agg Q)
                 + actor_entropy_coef * alpha_new * mean(log pi)
  bc_loss        (actor_bc_coef > 0 or use_awr) mean L_bc, without actor_bc_coef and without the AWR weight
  adv            (use_awr) mean of min_N Q(s,a_data) - V(s), before temperature, exp and clip
  actor_q        (actor_q_coef > 0) mean of agg_N Q(s,a), without actor_q_coef, without lambda, sign +
  critic_loss    (always) U-mean of the whole minimised loss: mean sum_N (Q-y)^2 + diversity_coef*D + cql_min_q_weight*C,
                 each before its own step
  diversity_loss (diversity_coef > 0) U-mean of D, without diversity_coef
  cql_loss       (cql_min_q_weight > 0) U-mean of C, summed over critics, without cql_min_q_weight
  value_loss     (use_awr or use_value_target) mean |tau - 1(x<0)| x^2 before the value step, Q after its U updates
"""
import argparse
import json
import os
import sys
import zlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import h5py
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

DEFAULTS = {
    "lr": 1e-3, "actor_lr": 1e-3, "lr_schedule": "constant", "num_updates": 1000, "batch_size": 32,
    "gamma": 0.99, "polyak_step_size": 0.005, "norm_obs": True,
    "actor_num_layers": 3, "actor_layer_width": 32, "actor_ln": True, "deterministic": True,
    "deterministic_eval": False, "use_tanh_mean": True, "use_log_std_param": False,
    "log_std_min": -5.0, "log_std_max": 2.0,
    "num_critics": 2, "critic_num_layers": 3, "critic_layer_width": 32, "critic_ln": True,
    "actor_bc_coef": 0.001, "actor_q_coef": 1.0, "use_q_target_in_actor": False, "normalize_q_loss": True,
    "aggregate_q": "min", "use_awr": False, "awr_temperature": 1.0, "awr_exp_adv_clip": 100.0,
    "num_critic_updates_per_step": 2, "critic_bc_coef": 0.01, "diversity_coef": 0.0,
    "policy_noise": 0.2, "noise_clip": 0.5, "use_target_actor": True,
    "use_value_target": False, "value_expectile": 0.7,
    "use_entropy_loss": False, "ent_coef_init": 1.0, "actor_entropy_coef": 0.0, "critic_entropy_coef": 0.0,
    "cql_min_q_weight": 0.0, "cql_temperature": 1.0,
}
OPTIONAL = {"cql_data_only": False, "dataset_sample_ratio": 1.0}  # written only when set


# ------------------------------------------------------------------ networks and policy

def trunk(p, x):
    for i in range(len(p["hidden"])):
        h = p["hidden"][str(i)]
        x = jnp.maximum(x @ h["kernel"] + h["bias"], 0.0)
        if "scale" in h:
            mu = x.mean(-1, keepdims=True)
            var = jnp.square(x - mu).mean(-1, keepdims=True)
            x = (x - mu) / jnp.sqrt(var + 1e-6) * h["scale"] + h["shift"]
    return x


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def critics(p, x, a):  # (..., A) -> (N, ...)
    return jax.vmap(lambda q: dense(q["out"], trunk(q, jnp.concatenate([x, a], -1)))[..., 0])(p)


def value(p, x):
    return dense(p["out"], trunk(p, x))[..., 0]


def head(cfg, p, x):
    """Mean and clipped log-std (None when deterministic)."""
    h = trunk(p, x)
    mean = dense(p["mean"], h)
    if cfg["use_tanh_mean"]:
        mean = jnp.tanh(mean)
    if cfg["deterministic"]:
        return mean, None
    s = jnp.broadcast_to(p["log_std_param"], mean.shape) if cfg["use_log_std_param"] else dense(p["log_std"], h)
    return mean, jnp.clip(s, cfg["log_std_min"], cfg["log_std_max"])


def gauss(z, s):  # log-density at mean + exp(s) z, summed over the action
    return (-0.5 * z * z - s - 0.5 * jnp.log(2 * jnp.pi)).sum(-1)


def log_jac(u):  # log of the product of d tanh(u)/du
    return (2 * (jnp.log(2.0) - u - jax.nn.softplus(-2 * u))).sum(-1)


def sample(cfg, p, x, eps):
    mean, s = head(cfg, p, x)
    if s is None:
        return mean, jnp.zeros(mean.shape[:-1])
    u, logp = mean + jnp.exp(s) * eps, gauss(eps, s)
    return (u, logp) if cfg["use_tanh_mean"] else (jnp.tanh(u), logp - log_jac(u))


def log_prob(cfg, p, x, a):
    mean, s = head(cfg, p, x)
    u = a if cfg["use_tanh_mean"] else jnp.arctanh(a)  # +-inf at |a| = 1: no finite density there
    logp = gauss((u - mean) * jnp.exp(-s), s)
    return logp if cfg["use_tanh_mean"] else logp - log_jac(u)


# ------------------------------------------------------------------ optimiser

def adam(cfg, lr, total, p, g, opt):
    m, v, count = opt
    if cfg["lr_schedule"] == "cosine":
        lr = lr * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(count, total) / total))
    t = count + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    p = jax.tree.map(lambda p, m, v: p - lr * (m / (1 - 0.9 ** t)) / (jnp.sqrt(v / (1 - 0.999 ** t)) + 1e-5), p, m, v)
    return p, (m, v, t)


def adam_init(p):
    zero = jax.tree.map(jnp.zeros_like, p)
    return zero, zero, jnp.zeros(())


# ------------------------------------------------------------------ one update

def diversity(p, x, a):
    n = p["out"]["bias"].shape[0]
    # rows do not interact, so the gradient of the batch sum holds every row's dQ_i/da; (N, B, A)
    g = jax.vmap(lambda q: jax.grad(lambda a: critics(jax.tree.map(lambda w: w[None], q), x, a).sum())(a))(p)
    sq = jnp.square(g).sum(-1, keepdims=True)
    norm = jnp.where(sq > 0, jnp.sqrt(jnp.where(sq > 0, sq, 1.0)), 0.0)  # a dead row adds 0, not NaN
    g = g / (norm + 1e-6)
    dots = jnp.einsum("iba,jba->bij", g, g) * (1 - jnp.eye(n))
    return dots.sum((1, 2)).mean() / (n - 1)


def conservative(cfg, p, x, x2, a, random, pi, pi2):
    q = critics(p, x, a)
    t = cfg["cql_temperature"]
    qs = jnp.stack([critics(p, x, random), critics(p, x, pi), critics(p, x2, pi2), q])
    lse = t * jax.scipy.special.logsumexp(qs / t, axis=0)
    rows = int(q.shape[1] * cfg["dataset_sample_ratio"]) if cfg["cql_data_only"] else q.shape[1]
    return (lse.mean(1) - q[:, :rows].mean(1)).sum()  # dataset rows come first in a batch


def update(cfg, norm, state, batch, noise):
    """state = (params by network, Adam state by network); returns (state, losses)."""
    nets, opt = dict(state[0]), dict(state[1])
    losses = {}
    scale = (lambda o: (o - norm["mean"]) / (norm["std"] + 1e-3)) if cfg["norm_obs"] else (lambda o: o)
    x, x2, a, r = scale(batch["obs"]), scale(batch["next_obs"]), batch["action"], batch["reward"]
    U, total = cfg["num_critic_updates_per_step"], cfg["num_updates"]

    def descend(net, g, lr, total):
        nets[net], opt[net] = adam(cfg, lr, total, nets[net], g, opt[net])

    # entropy coefficient
    alpha = 0.0
    if cfg["use_entropy_loss"]:
        _, logp = sample(cfg, nets["actor"], x, noise["alpha"])
        loss, g = jax.value_and_grad(lambda la: la * (-logp.mean() + a.shape[-1]))(nets["log_alpha"])
        descend("log_alpha", g, cfg["lr"], total)
        alpha = jnp.exp(nets["log_alpha"])
        losses.update(alpha_loss=loss, alpha=alpha)

    # actor
    actor_critic = nets["critic_target" if cfg["use_q_target_in_actor"] else "critic"]

    def actor_loss(p):
        out, loss = {}, 0.0
        act, logp = sample(cfg, p, x, noise["actor"])
        if cfg["actor_bc_coef"] > 0 or cfg["use_awr"]:
            bc = jnp.square(act - a).sum(-1) if cfg["deterministic"] else -log_prob(cfg, p, x, a)
            w = 1.0
            if cfg["use_awr"]:
                adv = critics(actor_critic, x, a).min(0) - value(nets["value"], x)
                w = jnp.minimum(jnp.exp(cfg["awr_temperature"] * adv), cfg["awr_exp_adv_clip"])
                out["adv"] = adv.mean()
            out["bc_loss"] = bc.mean()
            loss += cfg["actor_bc_coef"] * (w * bc).mean()
        if cfg["actor_q_coef"] > 0:
            q = critics(actor_critic, x, act)
            q = {"min": lambda: q.min(0), "mean": lambda: q.mean(0), "first": lambda: q[0]}[cfg["aggregate_q"]]()
            lam = 1 / (jnp.abs(jax.lax.stop_gradient(q)).mean() + 1e-7) if cfg["normalize_q_loss"] else 1.0
            out["actor_q"] = q.mean()
            loss -= cfg["actor_q_coef"] * lam * q.mean()
        if cfg["use_entropy_loss"]:
            loss += cfg["actor_entropy_coef"] * alpha * logp.mean()
        return loss, out | {"actor_loss": jnp.asarray(loss)}

    g, out = jax.grad(actor_loss, has_aux=True)(nets["actor"])
    losses.update(out)
    descend("actor", g, cfg["actor_lr"], total)

    # critics
    per_update = []
    for k in range(U):
        bootstrap = nets["actor_target" if cfg["use_target_actor"] else "actor"]
        act, logp = sample(cfg, bootstrap, x2, noise["next_action"][k])
        smooth = jnp.clip(cfg["policy_noise"] * noise["smoothing"][k], -cfg["noise_clip"], cfg["noise_clip"])
        act = jnp.clip(act + smooth, -1.0, 1.0)
        v = value(nets["value"], x2) if cfg["use_value_target"] else critics(nets["critic_target"], x2, act).min(0)
        if cfg["use_entropy_loss"]:
            v -= cfg["critic_entropy_coef"] * alpha * logp
        v -= cfg["critic_bc_coef"] * jnp.square(act - batch["next_action"]).sum(-1)
        y = r + cfg["gamma"] * (1 - batch["done"]) * v
        use_cql = cfg["cql_min_q_weight"] > 0
        if use_cql:
            pi, _ = sample(cfg, nets["actor"], x, noise["cql_pi"][k])
            pi2, _ = sample(cfg, nets["actor"], x2, noise["cql_next"][k])

        def critic_loss(p):
            loss, out = jnp.square(critics(p, x, a) - y).sum(0).mean(), {}
            if cfg["diversity_coef"] > 0:
                out["diversity_loss"] = diversity(p, x, a)
                loss += cfg["diversity_coef"] * out["diversity_loss"]
            if use_cql:
                out["cql_loss"] = conservative(cfg, p, x, x2, a, noise["cql_random"][k], pi, pi2)
                loss += cfg["cql_min_q_weight"] * out["cql_loss"]
            return loss, out | {"critic_loss": loss}

        g, out = jax.grad(critic_loss, has_aux=True)(nets["critic"])
        descend("critic", g, cfg["lr"], total * U)
        per_update.append(out)
    losses.update(jax.tree.map(lambda *l: sum(l) / U, *per_update))

    # value
    if cfg["use_awr"] or cfg["use_value_target"]:
        q = critics(nets["critic"], x, a).min(0)

        def value_loss(p):
            d = q - value(p, x)
            return (jnp.abs(cfg["value_expectile"] - (d < 0)) * d * d).mean()

        losses["value_loss"], g = jax.value_and_grad(value_loss)(nets["value"])
        descend("value", g, cfg["lr"], total)

    # targets
    for net in ["critic"] + ["actor"] * cfg["use_target_actor"]:
        nets[net + "_target"] = jax.tree.map(lambda t, o: t + cfg["polyak_step_size"] * (o - t),
                                             nets[net + "_target"], nets[net])
    return (nets, opt), losses


class Replayer:
    def __init__(self, cfg, norm, init):
        self.cfg = DEFAULTS | OPTIONAL | cfg
        nets = jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), init)
        self.state = nets, {k: adam_init(nets[k]) for k in ("actor", "critic", "value", "log_alpha") if k in nets}
        self.fn = jax.jit(lambda *args: update(self.cfg, *args))
        self.norm = jax.tree.map(jnp.asarray, norm)

    def step(self, batch, noise):
        batch, noise = (jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), d) for d in (batch, noise))
        self.state, losses = self.fn(self.norm, self.state, batch, noise)
        return jax.tree.map(np.asarray, self.state[0]), {k: float(v) for k, v in losses.items()}


# ------------------------------------------------------------------ files

def read(h):
    return {k: read(v) for k, v in h.items()} if isinstance(h, h5py.Group) else h[()]


def write(h, tree):
    for k, v in tree.items():
        if isinstance(v, dict):
            write(h.create_group(k), v)
        elif np.ndim(v) == 0:
            h.create_dataset(k, data=np.float64(v))
        elif v.nbytes < 4096:  # a filter needs chunks, whose bookkeeping is larger than that
            h.create_dataset(k, data=v)
        else:
            h.create_dataset(k, data=v, compression="gzip", shuffle=True)


def leaves(tree, prefix=""):
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for name, sub in tree.items() for k, v in leaves(sub, f"{prefix}/{name}").items()}


def replay(path):
    """{network or loss: worst absolute error}; inf where the two disagree on what exists."""
    worst = {}
    with h5py.File(path) as h:
        run = Replayer(json.loads(h.attrs["config"]), read(h["norm"]), read(h["init"]))
        for t in range(sum(k.startswith("step") for k in h)):
            rec = read(h[f"step{t}"])
            nets, losses = run.step(rec["batch"], rec["noise"])
            for kind, got, want in [("", nets, rec["after"]), ("losses/", losses, rec["losses"])]:
                for k in got.keys() | want.keys():
                    g, w = leaves(got.get(k, {})), leaves(want.get(k, {}))
                    err = max([np.abs(g[n] - w[n]).max() for n in g] or [0]) if g.keys() == w.keys() else np.inf
                    worst[kind + k] = max(worst.get(kind + k, 0.0), np.inf if np.isnan(err) else float(err))
    return dict(sorted(worst.items()))


# ------------------------------------------------------------------ random initial states and batches

def uniform(rng, shape, bound):
    return rng.uniform(-bound, bound, shape)


def lecun(rng, shape):
    z = rng.standard_normal(shape)
    while (bad := np.abs(z) > 2).any():
        z[bad] = rng.standard_normal(bad.sum())
    return z / 0.87962566103423978 / np.sqrt(shape[-2])


def init_net(rng, lead, n_in, layers, width, ln, outs):
    """outs: name -> (size, bound); `lead` is () or (N,)."""
    net, size = {"hidden": {}}, n_in
    for i in range(layers):
        net["hidden"][str(i)] = h = {"kernel": lecun(rng, lead + (size, width)), "bias": np.full(lead + (width,), 0.1)}
        if ln:
            h.update(scale=np.ones(lead + (width,)), shift=np.zeros(lead + (width,)))
        size = width
    for name, (n, bound) in outs.items():
        net[name] = {"kernel": uniform(rng, lead + (size, n), bound), "bias": uniform(rng, lead + (n,), bound)}
    return net


def perturb(rng, net, amount, gain):
    """Move a fresh network away from its initial symmetry, as the recorded files do; gain multiplies output layers."""
    for path, w in leaves(net).items():
        is_kernel, hidden = path.endswith("kernel"), "/hidden/" in path
        if not (hidden and is_kernel):
            w += amount * (0.025 if is_kernel else 0.08) * rng.standard_normal(w.shape)
        if not hidden:
            w *= gain.get(path.split("/")[1], 1.0)
    return net


def to32(tree):
    return jax.tree.map(lambda w: np.asarray(w, np.float32), tree)


def make_init(rng, cfg, O, A, amount, gain):
    def net(which, *args):
        return to32(perturb(rng, init_net(rng, *args), amount, gain.get(which, {})))

    actor_shape = cfg["actor_num_layers"], cfg["actor_layer_width"], cfg["actor_ln"]
    critic_shape = cfg["critic_num_layers"], cfg["critic_layer_width"], cfg["critic_ln"]
    heads = {"mean": (A, 1e-3)}
    if not cfg["deterministic"] and not cfg["use_log_std_param"]:
        heads["log_std"] = (A, 1e-3)
    nets = {"actor": net("actor", (), O, *actor_shape, heads)}
    if not cfg["deterministic"] and cfg["use_log_std_param"]:
        nets["actor"]["log_std_param"] = to32(amount * 0.3 * rng.standard_normal(A))
    nets["critic"] = net("critic", (cfg["num_critics"],), O + A, *critic_shape, {"out": (1, 3e-3)})
    if cfg["use_awr"] or cfg["use_value_target"]:
        nets["value"] = net("value", (), O, *critic_shape, {"out": (1, 3e-3)})
    if cfg["use_entropy_loss"]:
        nets["log_alpha"] = np.float64(np.log(cfg["ent_coef_init"]))
    lag = 0.9 if amount else 1.0  # the recorded files start with targets apart from the networks
    for k in ["critic"] + ["actor"] * cfg["use_target_actor"]:
        nets[k + "_target"] = jax.tree.map(lambda w: (np.float32(lag) * w).astype(np.float32), nets[k])
    return nets


def make_step(rng, cfg, O, A, norm, edge):
    B, U = cfg["batch_size"], cfg["num_critic_updates_per_step"]

    def actions():
        act = rng.uniform(-0.995, 0.995, (B, A))
        if edge and (cfg["deterministic"] or cfg["use_tanh_mean"]):
            act = np.where(rng.random((B, A)) < edge, np.sign(act), act)
        return act

    obs = norm["mean"] + norm["std"] * rng.standard_normal((B, O))
    batch = {"obs": obs, "action": actions(), "reward": rng.standard_normal(B),
             "next_obs": obs + 0.3 * norm["std"] * rng.standard_normal((B, O)), "next_action": actions(),
             "done": rng.random(B) < 0.1}
    if B > 1:
        batch["done"][rng.integers(B)] = True
    first = int(B * cfg["dataset_sample_ratio"])
    if first < B:  # as rollouts would be: away from the data, penalised, ended more often, actions of a policy
        n = B - first
        batch["obs"][first:] += norm["std"] * rng.standard_normal((n, O))
        batch["reward"][first:] -= rng.uniform(0, 2, n)
        batch["done"][first:] |= rng.random(n) < 0.2
        for k in ("action", "next_action"):
            batch[k][first:] = 0.99 * np.tanh(rng.standard_normal((n, A)))
    noise = {"actor": rng.standard_normal((B, A)), "next_action": rng.standard_normal((U, B, A)),
             "smoothing": rng.standard_normal((U, B, A))}
    if cfg["use_entropy_loss"]:
        noise["alpha"] = rng.standard_normal((B, A))
    if cfg["cql_min_q_weight"] > 0:
        noise.update(cql_random=rng.uniform(-1, 1, (U, B, A)), cql_pi=rng.standard_normal((U, B, A)),
                     cql_next=rng.standard_normal((U, B, A)))
    return to32(batch), to32(noise)


def check(cfg):
    assert cfg["use_tanh_mean"] or not cfg["deterministic"], "deterministic without tanh mean"
    assert not (cfg["use_entropy_loss"] and cfg["deterministic"]), "entropy with a deterministic actor"
    assert not (cfg["diversity_coef"] and cfg["num_critics"] < 2), "diversity with one critic"
    assert not cfg["cql_data_only"] or int(cfg["batch_size"] * cfg["dataset_sample_ratio"]) >= 1, "no dataset rows"
    assert not cfg["use_log_std_param"] or not cfg["deterministic"], "log-std of a deterministic actor"


def make_file(path, label, seed, point):
    """point: configuration keys, and obs_dim, action_dim, steps, edge (share of actions at +-1), perturb, gain."""
    rng = np.random.default_rng([seed, zlib.crc32(label.encode())])
    point = {"obs_dim": 11, "action_dim": 3, "steps": 2, "edge": 0.0, "perturb": 1.0, "gain": {}} | point
    O, A, steps, edge, amount, gain = (point.pop(k) for k in ("obs_dim", "action_dim", "steps", "edge", "perturb", "gain"))
    unknown = point.keys() - DEFAULTS.keys() - OPTIONAL.keys()
    assert not unknown, unknown
    cfg = DEFAULTS | point
    check(OPTIONAL | cfg)
    norm = {"mean": rng.standard_normal(O), "std": rng.uniform(0.3, 3.0, O)}
    init = make_init(rng, cfg, O, A, amount, gain)
    run = Replayer(cfg, norm, init)
    with h5py.File(path, "w", libver=("v108", "v108")) as h:  # smaller groups, which every HDF5 reads
        h.attrs.update(kind="unifloral-update", name=label, config=json.dumps(cfg), obs_dim=O, action_dim=A)
        write(h.create_group("norm"), norm)
        write(h.create_group("init"), init)
        for t in range(steps):
            batch, noise = make_step(rng, OPTIONAL | cfg, O, A, norm, edge)
            after, losses = run.step(batch, noise)
            assert all(np.isfinite(w).all() for w in leaves(after).values()), (label, t)
            assert all(np.isfinite(v) for v in losses.values()), (label, t, losses)
            write(h.create_group(f"step{t}"), {"batch": batch, "noise": noise, "after": after, "losses": losses})


# ------------------------------------------------------------------ the points

def actor(n, w, ln=False):
    return {"actor_num_layers": n, "actor_layer_width": w, "actor_ln": ln}


def critic(n, w, ln=False, N=2):
    return {"critic_num_layers": n, "critic_layer_width": w, "critic_ln": ln, "num_critics": N}


def dims(o, a, b):
    return {"obs_dim": o, "action_dim": a, "batch_size": b}


TANH = {"deterministic": False, "use_tanh_mean": False}  # tanh-transformed Gaussian
GAUSS = {"deterministic": False, "use_tanh_mean": True}  # Gaussian around a tanh mean
PLAIN = {"policy_noise": 0.0, "noise_clip": 0.0, "critic_bc_coef": 0.0, "normalize_q_loss": False}
ENT = {"use_entropy_loss": True, "actor_entropy_coef": 1.0, "critic_entropy_coef": 1.0}
SAC = TANH | PLAIN | ENT | {"actor_bc_coef": 0.0, "use_target_actor": False, "norm_obs": False,
                            "num_critic_updates_per_step": 1, "lr": 3e-4, "actor_lr": 1e-4}
REBRAC = {"norm_obs": False, "actor_bc_coef": 0.03, "critic_bc_coef": 0.05}
AWR = {"use_awr": True, "awr_temperature": 3.0, "actor_bc_coef": 0.3}
IQL = GAUSS | PLAIN | AWR | {"use_log_std_param": True, "log_std_min": -20.0, "actor_q_coef": 0.0, "actor_bc_coef": 1.0,
                             "use_value_target": True, "use_target_actor": False, "lr_schedule": "cosine",
                             "num_critic_updates_per_step": 1}
WIDE = {"critic": {"out": 30.0}}  # large Q, so that large advantages


def points():
    p = {}
    # aggregation, number of critics, kind of actor
    p["agg_min_n1_det"] = REBRAC | actor(1, 8) | critic(1, 8, N=1) | dims(3, 1, 7) | {"edge": 0.1}
    p["agg_mean_n1_det"] = REBRAC | actor(1, 8, True) | critic(2, 8, N=1) | dims(3, 2, 7) | {"aggregate_q": "mean"}
    p["agg_first_n1_det"] = REBRAC | actor(2, 8) | critic(1, 8, True, N=1) | dims(4, 1, 7) | {"aggregate_q": "first"}
    p["agg_mean_n1_tanh"] = TANH | actor(2, 24, True) | critic(2, 24, N=1) | dims(5, 2, 7) | {"aggregate_q": "mean", "norm_obs": False}
    p["agg_first_n1_gauss"] = GAUSS | actor(3, 16) | critic(1, 37, True, N=1) | dims(4, 2, 33) | {"aggregate_q": "first", "edge": 0.1}
    p["agg_mean_n2_det"] = REBRAC | actor(2, 37, True) | critic(4, 24, True) | dims(17, 6, 33) | {"aggregate_q": "mean", "edge": 0.1, "actor_q_coef": 2.5}
    p["agg_min_n5_det"] = REBRAC | actor(4, 16) | critic(3, 48, True, N=5) | dims(8, 2, 7) | {"lr": 3e-3}
    p["agg_first_n5_tanh"] = SAC | actor(2, 20) | critic(2, 40, N=5) | dims(6, 4, 33) | {"aggregate_q": "first", "normalize_q_loss": True}
    p["agg_mean_n10_gauss"] = GAUSS | actor(1, 64, True) | critic(2, 16, True, N=10) | dims(20, 8, 7) | {"aggregate_q": "mean", "polyak_step_size": 0.1}
    p["agg_min_n10_tanh"] = SAC | actor(3, 24) | critic(3, 24, N=10) | dims(11, 3, 33) | {"steps": 3}
    p["agg_first_n10_det"] = REBRAC | actor(2, 32) | critic(2, 8, N=10) | dims(3, 1, 64) | {"aggregate_q": "first", "edge": 0.05}
    # advantage weighting
    p["awr_target_q_det"] = REBRAC | AWR | actor(2, 24, True) | critic(2, 37, True, N=5) | dims(9, 3, 33) | {"use_q_target_in_actor": True, "gain": WIDE}
    p["awr_target_q_gauss_mean"] = GAUSS | AWR | actor(3, 37) | critic(1, 24) | dims(7, 5, 33) | {"use_q_target_in_actor": True, "aggregate_q": "mean", "edge": 0.1, "gain": WIDE}
    p["awr_tanh"] = TANH | AWR | actor(2, 32, True) | critic(3, 24) | dims(6, 2, 33) | {"value_expectile": 0.9, "steps": 3}
    p["awr_tanh_entropy"] = TANH | AWR | ENT | actor(2, 24) | critic(2, 40, True, N=5) | dims(12, 4, 33) | {"ent_coef_init": 0.2, "value_expectile": 0.5}
    p["awr_clip_large_adv"] = REBRAC | AWR | actor(3, 32, True) | critic(3, 32, True) | dims(11, 3, 64) | {"awr_temperature": 10.0, "gain": WIDE, "edge": 0.05}
    p["awr_clip_low"] = REBRAC | AWR | actor(2, 32) | critic(2, 24) | dims(8, 3, 33) | {"awr_exp_adv_clip": 1.05, "actor_q_coef": 0.0, "num_critic_updates_per_step": 3}
    p["awr_bc_coef_zero"] = REBRAC | AWR | actor(2, 16) | critic(2, 16, True) | dims(5, 2, 7) | {"actor_bc_coef": 0.0}
    p["iql_head_std"] = IQL | actor(2, 24) | critic(2, 37) | dims(17, 6, 64) | {"use_log_std_param": False, "num_updates": 4, "steps": 4, "deterministic_eval": True, "edge": 0.05}
    p["iql_param_cosine_end"] = IQL | actor(1, 37) | critic(2, 24) | dims(4, 1, 33) | {"num_updates": 2, "steps": 4, "num_critic_updates_per_step": 2, "awr_temperature": 10.0}
    # log-std
    p["log_std_param_entropy"] = SAC | actor(2, 24) | critic(2, 24) | dims(6, 3, 33) | {"use_log_std_param": True, "ent_coef_init": 0.5, "steps": 3}
    p["log_std_param_entropy_gauss"] = GAUSS | ENT | actor(2, 24, True) | critic(1, 64) | dims(3, 8, 7) | {"use_log_std_param": True, "critic_entropy_coef": 0.3}
    clip = {"log_std_min": -1.0, "log_std_max": -0.5, "gain": {"actor": {"log_std": 20.0, "mean": 8.0}}}
    p["log_std_clip_tanh"] = SAC | clip | actor(2, 32) | critic(2, 32) | dims(8, 4, 33) | {"actor_bc_coef": 0.5}
    p["log_std_clip_gauss"] = GAUSS | ENT | clip | actor(3, 24, True) | critic(2, 37) | dims(13, 5, 33) | {"edge": 0.1, "actor_bc_coef": 0.2}
    p["log_std_clip_param"] = TANH | ENT | actor(1, 24) | critic(2, 24) | dims(5, 6, 33) | {"use_log_std_param": True, "log_std_min": -0.1, "log_std_max": 0.15, "actor_bc_coef": 0.5}
    # diversity
    div = {"diversity_coef": 1.0}
    p["edac_det"] = REBRAC | div | actor(2, 24) | critic(2, 37, N=5) | dims(8, 3, 33) | {"edge": 0.1, "aggregate_q": "mean"}
    p["edac_det_ln_1000"] = REBRAC | actor(2, 24, True) | critic(3, 24, True, N=2) | dims(11, 1, 33) | {"diversity_coef": 1000.0}
    p["edac_100_n10"] = SAC | actor(3, 16) | critic(3, 32, N=10) | dims(11, 3, 33) | {"diversity_coef": 100.0, "steps": 3, "aggregate_q": "first"}
    p["edac_1000_n10_ln"] = SAC | actor(2, 37) | critic(2, 24, True, N=10) | dims(17, 6, 7) | {"diversity_coef": 1000.0, "num_critic_updates_per_step": 2}
    p["edac_deep_ln"] = SAC | div | actor(4, 16) | critic(4, 16, True, N=5) | dims(6, 8, 64) | {"num_critic_updates_per_step": 3, "norm_obs": True}
    p["edac_one_layer"] = SAC | actor(1, 16) | critic(1, 64, N=5) | dims(6, 2, 7) | {"diversity_coef": 10.0}
    # conservative penalty
    cql = {"cql_min_q_weight": 5.0}
    p["cql_temp_low"] = SAC | cql | actor(2, 24) | critic(2, 24, N=5) | dims(11, 3, 33) | {"cql_temperature": 0.1, "cql_min_q_weight": 10.0, "aggregate_q": "mean"}
    p["cql_temp_high_u3"] = SAC | cql | actor(2, 37) | critic(3, 16) | dims(5, 2, 33) | {"cql_temperature": 5.0, "num_critic_updates_per_step": 3, "aggregate_q": "first"}
    p["cql_data_only"] = SAC | cql | actor(2, 24) | critic(2, 37) | dims(8, 3, 33) | {"cql_data_only": True, "cql_min_q_weight": 1.0}
    p["cql_ln"] = SAC | cql | actor(2, 24, True) | critic(2, 24, True, N=10) | dims(17, 6, 33) | {"num_critic_updates_per_step": 2, "norm_obs": True}
    p["cql_det_target_actor"] = REBRAC | cql | actor(2, 24) | critic(2, 48, True) | dims(8, 3, 33) | {"cql_temperature": 0.5, "edge": 0.1}
    p["cql_diversity"] = SAC | cql | actor(2, 24) | critic(2, 24, True, N=5) | dims(6, 4, 33) | {"diversity_coef": 10.0, "num_critic_updates_per_step": 2}
    p["cql_awr_gauss"] = GAUSS | cql | AWR | actor(3, 24, True) | critic(2, 32) | dims(11, 3, 33) | {"cql_temperature": 2.0, "edge": 0.1}
    p["cql_value_target"] = TANH | cql | actor(2, 16) | critic(2, 24, True, N=1) | dims(4, 2, 7) | {"use_value_target": True, "cql_data_only": True}
    # bootstrap targets
    p["value_target_entropy"] = TANH | ENT | actor(2, 24) | critic(2, 37, True) | dims(9, 4, 33) | {"use_value_target": True, "steps": 3, "value_expectile": 0.3}
    p["critic_bc_gauss"] = GAUSS | actor(3, 24) | critic(2, 24) | dims(6, 3, 33) | {"critic_bc_coef": 1.0, "edge": 0.2, "policy_noise": 0.8, "noise_clip": 0.3}
    p["critic_bc_tanh_target_entropy"] = TANH | ENT | actor(2, 37, True) | critic(2, 24, True, N=5) | dims(8, 5, 33) | {"critic_bc_coef": 0.5, "critic_entropy_coef": 0.2, "use_target_actor": True}
    p["target_actor_entropy_gauss"] = GAUSS | ENT | actor(2, 24) | critic(3, 24) | dims(5, 2, 64) | {"num_critic_updates_per_step": 3, "ent_coef_init": 0.05}
    p["entropy_coefs_differ"] = SAC | actor(2, 32) | critic(2, 16, N=5) | dims(20, 1, 33) | {"actor_entropy_coef": 0.3, "critic_entropy_coef": 0.0, "lr_schedule": "cosine", "num_updates": 3, "steps": 4}
    # edges of the ranges
    p["batch1_det"] = REBRAC | actor(2, 24, True) | critic(2, 37, True, N=10) | dims(11, 3, 1) | {"steps": 3}
    p["batch1_sac_cql_edac"] = SAC | cql | div | actor(2, 24) | critic(2, 24, N=5) | dims(6, 2, 1)
    p["gamma0_polyak1"] = REBRAC | actor(2, 24, True) | critic(2, 24, True) | dims(6, 2, 33) | {"gamma": 0.0, "polyak_step_size": 1.0, "steps": 3, "aggregate_q": "first"}
    p["gamma1_polyak0"] = SAC | actor(2, 24) | critic(2, 24) | dims(6, 2, 33) | {"gamma": 1.0, "polyak_step_size": 0.0, "steps": 3, "use_target_actor": True}
    p["pure_init_cosine"] = REBRAC | actor(3, 64, True) | critic(3, 64, True) | dims(11, 3, 64) | {"perturb": 0.0, "lr_schedule": "cosine", "num_updates": 3, "steps": 3, "norm_obs": True}
    p["no_terms_but_q"] = REBRAC | PLAIN | actor(4, 8) | critic(4, 8, N=10) | dims(3, 8, 64) | {"aggregate_q": "mean", "actor_bc_coef": 0.0, "use_target_actor": False, "use_q_target_in_actor": True, "num_critic_updates_per_step": 3}
    # part of the batch from a world model: MoBRAC, MOPO, MOReL, COMBO
    p["mobrac"] = REBRAC | actor(1, 16, True) | critic(2, 12, True) | dims(6, 2, 40) | {"dataset_sample_ratio": 0.05, "edge": 0.1}
    p["mopo"] = SAC | actor(1, 16) | critic(2, 12, N=3) | dims(6, 2, 33) | {"dataset_sample_ratio": 0.05}
    p["morel"] = SAC | actor(1, 16) | critic(1, 16, N=3) | dims(4, 2, 33) | {"dataset_sample_ratio": 0.01}
    p["combo"] = SAC | cql | actor(1, 16) | critic(2, 12, N=3) | dims(6, 2, 33) | {"cql_data_only": True, "dataset_sample_ratio": 0.5}
    p["combo_most_data_u2"] = SAC | cql | actor(1, 16) | critic(2, 16, True) | dims(3, 2, 33) | {"cql_data_only": True, "dataset_sample_ratio": 0.8, "num_critic_updates_per_step": 2, "cql_temperature": 0.5}
    p["combo_all_rows"] = SAC | cql | actor(1, 16) | critic(1, 16) | dims(3, 1, 33) | {"dataset_sample_ratio": 0.5}
    return p


def random_point(rng):
    def pick(*xs):
        return xs[rng.integers(len(xs))]

    def coin(p=0.5):
        return bool(rng.random() < p)

    kind = pick({}, GAUSS, TANH)
    p = kind | actor(pick(1, 2, 3, 4), pick(8, 16, 24, 37, 64), coin()) \
        | critic(pick(1, 2, 3, 4), pick(8, 16, 24, 37, 64), coin(), pick(1, 2, 5, 10)) \
        | dims(int(rng.integers(3, 21)), int(rng.integers(1, 9)), pick(1, 7, 33, 64))
    p |= {"steps": pick(2, 3), "edge": 0.1, "lr": pick(1e-3, 3e-4), "actor_lr": pick(1e-3, 3e-4),
          "lr_schedule": pick("constant", "cosine"), "num_updates": pick(3, 50, 1000), "gamma": pick(0.0, 0.9, 0.99, 1.0),
          "polyak_step_size": pick(0.0, 0.005, 0.3, 1.0), "norm_obs": coin(), "aggregate_q": pick("min", "mean", "first"),
          "actor_bc_coef": pick(0.0, 0.01, 1.0), "actor_q_coef": pick(0.0, 1.0, 2.5), "use_q_target_in_actor": coin(),
          "normalize_q_loss": coin(), "num_critic_updates_per_step": pick(1, 2, 3), "critic_bc_coef": pick(0.0, 0.1),
          "policy_noise": pick(0.0, 0.2), "noise_clip": pick(0.1, 0.5), "use_target_actor": coin(),
          "use_value_target": coin(0.3), "value_expectile": pick(0.5, 0.7, 0.9)}
    if coin(0.4):
        p |= AWR | {"awr_temperature": pick(0.5, 3.0, 10.0), "awr_exp_adv_clip": pick(1.1, 100.0)}
    if kind:
        p["use_log_std_param"] = coin(0.3)
        if coin(0.6):
            p |= {"use_entropy_loss": True, "ent_coef_init": pick(0.1, 1.0), "actor_entropy_coef": pick(0.0, 0.5, 1.0),
                  "critic_entropy_coef": pick(0.0, 0.5, 1.0)}
    if p["num_critics"] > 1 and coin(0.4):
        p["diversity_coef"] = pick(1.0, 30.0, 1000.0)
    if coin(0.4):
        p |= {"cql_min_q_weight": pick(0.5, 10.0), "cql_temperature": pick(0.3, 1.0, 3.0)} | ({"cql_data_only": True} if coin(0.3) else {})
    if coin(0.3):
        p["dataset_sample_ratio"] = pick(0.05, 0.5, 0.8)
        if int(p["batch_size"] * p["dataset_sample_ratio"]) < 1:
            p.pop("cql_data_only", None)
    return p


def make(outdir, seed, count):
    os.makedirs(outdir, exist_ok=True)
    todo = points()
    for i in range(max(0, count - len(todo))):
        todo[f"random_{i:02d}"] = random_point(np.random.default_rng([seed, i]))
    for label, point in list(todo.items())[:count]:
        path = os.path.join(outdir, f"update_{label}.h5")
        make_file(path, label, seed, dict(point))
        print(path, flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sub = ap.add_subparsers(dest="mode", required=True)
    rp = sub.add_parser("replay")
    rp.add_argument("files", nargs="+")
    rp.add_argument("--limit", type=float, default=2e-7, help="exit 1 if any error is above this")
    mk = sub.add_parser("make")
    mk.add_argument("outdir")
    mk.add_argument("--seed", type=int, default=0)
    mk.add_argument("--count", type=int, default=len(points()))
    args = ap.parse_args()
    if args.mode == "make":
        return make(args.outdir, args.seed, args.count)
    bad = 0
    for f in args.files:
        errs = replay(f)
        worst = max(errs.values())
        bad += worst > args.limit
        print(f"{os.path.basename(f)}: worst {worst:.1e}" + "".join(f"\n    {k:24s} {v:.1e}" for k, v in errs.items()), flush=True)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
