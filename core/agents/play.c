// play.c: episodes of an agent's actors on its device, by the op `play`, which does some steps of all at once.
#include "core/agents/play.h"

#include <string.h>

// Rows side by side over all members: more would share a device's cores, and memory grows with them.
enum { PLAY_ROWS = 8192, PLAY_STEPS = 250 };

typedef struct Player {
    UfBackend* be;
    UfPlay play;
    UfPlayRow* rows;  // (P, R) on the host
    void *device_rows, *seeds, *returns, *lengths;
} Player;

bool uf_plays_apart(UfAgent* agent, const UfEnvSpec* spec) {
    UfPlay play = {0};
    uf_agent_actors(agent, &play);
    return uf_agent_backend(agent)->apart && uf_env_rule(spec, &play.rule) &&
           play.nets.mlp->width <= UF_PLAY_MAX_WIDTH;
}

static UfStatus check(const UfPlay* play, const UfEnvSpec* spec, bool built_in, int64_t num_episodes) {
    if (num_episodes < 1) return UF_FAIL(UF_ERR_ARGUMENT, "evaluation of no episode; at least 1 is needed");
    if (!built_in)
        return UF_FAIL(UF_ERR_UNSUPPORTED, "%s is simulated on the host alone; evaluate there", spec->name);
    if (play->nets.mlp->width > UF_PLAY_MAX_WIDTH)
        return UF_FAIL(
            UF_ERR_UNSUPPORTED,
            "an actor of %d units in a layer cannot be played on a device, only up to %d; evaluate "
            "on the host",
            play->nets.mlp->width, UF_PLAY_MAX_WIDTH);
    if (play->nets.mlp->in != spec->obs_dim || play->heads.A != spec->action_dim)
        return UF_FAIL(UF_ERR_ARGUMENT,
                       "the policy is for %d observations and %d actions, %s has %d and %d; was it trained "
                       "on another task?",
                       play->nets.mlp->in, play->heads.A, spec->name, spec->obs_dim, spec->action_dim);
    return UF_OK;
}

static UfStatus reserve(Player* x, const uint64_t* seeds) {
    UfBackend* be = x->be;
    UfPlay* c = &x->play;
    const size_t P = (size_t)c->nets.P, rows = P * (size_t)c->R, episodes = P * (size_t)c->num_episodes;
    UF_TRY(UF_ALLOC(&x->rows, rows, "episodes"));
    UF_TRY(be->reserve(be, &x->device_rows, rows * sizeof *c->rows, "episodes"));
    UF_TRY(be->reserve(be, &x->seeds, P * sizeof *seeds, "seeds of episodes"));
    UF_TRY(be->reserve(be, &x->returns, episodes * sizeof *c->returns, "returns"));
    UF_TRY(be->reserve(be, &x->lengths, episodes * sizeof *c->lengths, "episode lengths"));
    be->upload(be, x->seeds, seeds, P * sizeof *seeds);
    c->rows = x->device_rows;
    c->seeds = x->seeds;
    c->returns = x->returns;
    c->lengths = x->lengths;
    return UF_OK;
}

static bool all_finished(const Player* x) {
    const UfPlay* c = &x->play;
    for (int i = 0; i < c->nets.P * c->R; i++)
        if (i % c->R + x->rows[i].finished * c->R < c->num_episodes) return false;
    return true;
}

static UfStatus play_all(Player* x) {
    UfBackend* be = x->be;
    const size_t bytes = (size_t)x->play.nets.P * (size_t)x->play.R * sizeof *x->rows;
    do {
        be->play(be, &x->play, PLAY_STEPS);
        be->download(be, x->rows, x->play.rows, bytes);
        UF_TRY(be->sync(be));
    } while (!all_finished(x));
    return UF_OK;
}

static UfStatus take_member(Player* x, UfEvaluation* out, int p, const UfEnvSpec* spec) {
    UfBackend* be = x->be;
    const UfPlay* c = &x->play;
    const size_t n = (size_t)c->num_episodes;
    UF_TRY(UF_ALLOC(&out->returns, n, "returns"));
    UF_TRY(UF_ALLOC(&out->lengths, n, "episode lengths"));
    be->download(be, out->returns, c->returns + (size_t)p * n, n * sizeof *out->returns);
    be->download(be, out->lengths, c->lengths + (size_t)p * n, n * sizeof *out->lengths);
    UF_TRY(be->sync(be));
    for (int r = 0; r < c->R; r++) out->num_nonfinite_actions += x->rows[p * c->R + r].num_nonfinite;
    uf_evaluation_summarise(out, spec);
    return UF_OK;
}

UfStatus uf_play(UfEvaluation* out, UfAgent* agent, const UfEnvSpec* spec, int64_t num_episodes,
                 const uint64_t* seeds, bool deterministic) {
    const double start = uf_now();
    const int P = uf_agent_population(agent);
    Player x = {.be = uf_agent_backend(agent)};
    for (int p = 0; p < P; p++) out[p] = (UfEvaluation){.num_episodes = num_episodes};
    uf_agent_actors(agent, &x.play);
    const bool built_in = uf_env_rule(spec, &x.play.rule);
    UF_TRY(check(&x.play, spec, built_in, num_episodes));
    const int most = P < PLAY_ROWS ? PLAY_ROWS / P : 1;
    x.play.R = num_episodes < most ? (int)num_episodes : most;
    x.play.heads.B = x.play.R;
    x.play.num_episodes = num_episodes;
    x.play.deterministic = deterministic;
    UfStatus status = reserve(&x, seeds);
    if (status == UF_OK) status = play_all(&x);
    for (int p = 0; p < P && status == UF_OK; p++) status = take_member(&x, &out[p], p, spec);
    for (int p = 0; p < P; p++) {
        out[p].seconds = uf_now() - start;
        if (status != UF_OK) uf_evaluation_free(&out[p]);
    }
    void* all[] = {x.device_rows, x.seeds, x.returns, x.lengths};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) x.be->release(x.be, all[i]);
    uf_free(x.rows);
    return status;
}
