// mpi_ranks: core/mpi.c from a shell.
//   mpi_ranks sum COUNT       fills its share of COUNT numbers, zeros elsewhere; sums over ranks; prints their SHA-256
//   mpi_ranks agree TEXT      whether all ranks have the same text
//   mpi_ranks break RANK      this one fails and exits, as a program does; the others wait in a sum
// A line a rank: "rank R of N: ..."; without a launcher "alone: ...". Status 1: refused, with the sentence.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ranks.h"

static const char* who(const UfRanks* ranks) {
    static char text[64];
    if (!ranks) return "alone";
    snprintf(text, sizeof text, "rank %d of %d", ranks->rank, ranks->size);
    return text;
}

static UfStatus show_sum(const UfRanks* ranks, int64_t count) {
    int64_t first, end;
    double* values = NULL;
    char hash[65];
    UF_TRY(UF_ALLOC(&values, count, "numbers"));
    uf_rank_share(ranks, count, &first, &end);
    // of all sizes and both signs; one that is no number, as a fitness may be
    for (int64_t i = first; i < end; i++) values[i] = sin((double)i) * exp2((double)(i % 601) - 300);
    if (first <= 3 && end > 3) values[3] = (double)INFINITY;
    UfStatus status = ranks ? ranks->sum(ranks->context, values, count) : UF_OK;
    if (status == UF_OK) {
        uf_sha256(values, (size_t)count * sizeof *values, hash);
        printf("%s: [%lld, %lld) %s\n", who(ranks), (long long)first, (long long)end, hash);
    }
    uf_free(values);
    return status;
}

static UfStatus run(int count, char** arguments, const UfRanks* ranks) {
    const char* verb = count == 3 ? arguments[1] : "";
    if (!strcmp(verb, "sum")) return show_sum(ranks, atoll(arguments[2]));
    if (!strcmp(verb, "agree")) {
        UF_TRY(uf_ranks_agree(ranks, arguments[2], "the text"));
        printf("%s: agreed\n", who(ranks));
        return UF_OK;
    }
    if (!strcmp(verb, "break") && ranks) {
        if (ranks->rank == atoi(arguments[2])) return UF_FAIL(UF_ERR_IO, "%s broke", who(ranks));
        return show_sum(ranks, 10);
    }
    return UF_FAIL(UF_ERR_ARGUMENT, "unknown verb");
}

int main(int count, char** arguments) {
    UfRanks* ranks = NULL;
    UfStatus status = uf_mpi_join(&ranks);
    if (status == UF_OK) status = run(count, arguments, ranks);
    if (status != UF_OK) {
        fprintf(stderr, "error: %s\n", uf_error());
        return 1;
    }
    uf_mpi_leave(ranks);
    return 0;
}
