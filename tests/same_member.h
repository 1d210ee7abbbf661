// same_member.h: that two members of agents are equal to the bit.
#ifndef SAME_MEMBER_H
#define SAME_MEMBER_H

#include <string.h>

#include "core/agents/agent.h"
#include "support.h"

// Every number: parameters, targets, moments, metrics.
static void assert_same_member(UfAgent* a, int member_a, UfAgent* b, int member_b) {
    assert_int_equal(uf_agent_num_tensors(a), uf_agent_num_tensors(b));
    for (int i = 0; i < uf_agent_num_tensors(a); i++) {
        const UfTensor* t = uf_agent_tensor(a, i);
        const size_t bytes = uf_tensor_count(t) * sizeof(real);
        real *x = test_malloc(bytes), *y = test_malloc(bytes);
        for (int kind = 0; kind < (t->is_target ? 1 : 3); kind++) {
            assert_ok(uf_agent_get_tensor(a, t, (UfTensorKind)kind, member_a, x));
            assert_ok(uf_agent_get_tensor(b, t, (UfTensorKind)kind, member_b, y));
            if (memcmp(x, y, bytes) != 0) fail_msg("%s differs (kind %d)", t->name, kind);
        }
        test_free(x);
        test_free(y);
    }
    int count_a = 0, count_b = 0;
    const char* const* names = NULL;
    const double *values_a = NULL, *values_b = NULL;
    assert_ok(uf_agent_metrics(a, member_a, &count_a, &names, &values_a));
    assert_ok(uf_agent_metrics(b, member_b, &count_b, &names, &values_b));
    assert_int_equal(count_a, count_b);
    for (int i = 0; i < count_a; i++)
        if (memcmp(&values_a[i], &values_b[i], sizeof(double)) != 0)
            fail_msg("%s: %.17g and %.17g", names[i], values_a[i], values_b[i]);
}

#endif
