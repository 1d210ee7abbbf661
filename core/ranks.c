// ranks.c: what ranks do with each other beside their work.
#include "core/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

UfStatus uf_ranks_agree(const UfRanks* ranks, const char* text, const char* what) {
    enum { PIECES = 4 };  // of a SHA-256, 48 bits each, which a double holds
    char hash[65], piece[13];
    double values[PIECES], others = 0;
    if (!ranks || ranks->size == 1) return UF_OK;
    uf_sha256(text, strlen(text), hash);
    for (int i = 0; i < PIECES; i++) {
        memcpy(piece, hash + 12 * i, 12);
        piece[12] = 0;
        values[i] = ranks->rank == 0 ? (double)strtoll(piece, NULL, 16) : 0;
    }
    UF_TRY(ranks->sum(ranks->context, values, PIECES));  // rank 0's
    for (int i = 0; i < PIECES; i++) {
        memcpy(piece, hash + 12 * i, 12);
        if (values[i] != (double)strtoll(piece, NULL, 16)) others = 1;
    }
    UF_TRY(ranks->sum(ranks->context, &others, 1));  // how many have another
    if (others == 0) return UF_OK;
    return UF_FAIL(UF_ERR_CONFIG,
                   "%s differs on %.0f of the %d processes from that of the first; start all with the same",
                   what, others, ranks->size);
}

UfStatus uf_ranks_all_well(const UfRanks* ranks, UfStatus mine) {
    char sentence[512];
    double failed = mine != UF_OK;
    if (!ranks) return mine;
    snprintf(sentence, sizeof sentence, "%s", mine == UF_OK ? "" : uf_error());
    UF_TRY(ranks->sum(ranks->context, &failed, 1));
    if (mine != UF_OK) return UF_FAIL(mine, "%s", sentence);
    return failed > 0 ? UF_FAIL(UF_ERR_DEVICE, "another process could not go on; its own message says why")
                      : UF_OK;
}
