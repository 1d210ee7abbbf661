// kernels_cpu.h: what the files of the CPU backend share: row functions, products, passes over hidden layers.
#ifndef UF_KERNELS_CPU_H
#define UF_KERNELS_CPU_H

#include "kernels.h"

// Row functions are compiled for several instruction sets, chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(UF_NO_CLONES)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#define INLINE \
    static inline __attribute__((always_inline))  // so that it is compiled for each instruction set

typedef struct UfCpuState {
    real** scratch;  // one a thread
    size_t scratch_count;
} UfCpuState;

// Scratch of at least `needed` reals for each thread.
UfStatus uf_cpu_reserve_scratch(UfBackend* backend, size_t needed);

// Tasks are numbered member by member, tasks_each of them: those of the members that the backend works on.
void uf_cpu_run_tasks(UfBackend* backend, int P, int tasks_each, UfTask* task, void* context);

// ---- row functions ----

void uf_rows_add(real* x, const real* bias, int rows, int width);
void uf_rows_sum(real* sum, const real* x, int rows, int width);
double uf_sum_squares(const real* x, size_t count);
void uf_scale_rows(real* x, real factor, size_t count);
// NaN where a parameter or moment is no longer finite.
real uf_adam_rows(real* restrict w, const real* restrict grad, real* restrict m, real* restrict v,
                  size_t count, UfAdamStep step);

// ---- products and passes ----

// c (m, n) = op(a) op(b) + beta c. No backend: by loops for few rows, whose sums run in an order that does not depend
// on the rows beside; not both transposed, and beta 0.   Nullable: backend
void uf_cpu_product(UfBackend* backend, int thread, bool trans_a, bool trans_b, int m, int n, int k,
                    const real* a, int lda, const real* b, int ldb, real beta, real* c, int ldc);

// Hidden layers of one network over `rows` rows x. Returns the output of the last, in the tape or scratch (rows, width),
// without a tape twice that.   Nullable: backend, as above; tape
const real* uf_cpu_hidden_forward(UfBackend* backend, int thread, const UfMlp* mlp, const real* params,
                                  const UfTape* tape, size_t tape_row, const real* x, int ld, int rows,
                                  real* scratch);

// Back through them from d = dL/dh of the last one; d, next and space are (rows, width) and overwritten.
typedef struct UfHiddenBack {
    UfBackend* backend;  // Nullable
    int thread;
    const UfMlp* mlp;
    const real* params;
    real* grads;  // of the network, every number of a hidden layer written.   Nullable
    const UfTape* tape;
    size_t tape_row;
    const real* x;
    int ld, rows;
    real *d, *next, *space;
} UfHiddenBack;
// dx (rows, dx_count): of input columns from dx_first on.   Nullable: dx
void uf_cpu_hidden_backward(const UfHiddenBack* c, real* dx, int dx_first, int dx_count);

// ---- kernels_clone.c ----

UfStatus uf_cpu_plan_clone(UfBackend* backend, const UfCloneNet* net, int P, int rows);
void uf_cpu_clone(UfBackend* backend, const UfClone* clone);
void uf_cpu_clone_score(UfBackend* backend, const UfCloneScore* score);

// ---- kernels_td.c ----

void uf_cpu_off_policy(UfBackend* backend);  // sets the ops of off-policy agents

#endif
