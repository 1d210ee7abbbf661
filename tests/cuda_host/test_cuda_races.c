// test_cuda_races.c: the detector of races (races.cpp) finds each planted fault in any order of threads, and nothing in
// its mended twin.
#include "../support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host_cuda.h"
#include "races_planted.h"

static int64_t num_found(Planted fault, bool mended, UfHostOrder order) {
    const int64_t before = uf_host_cuda.num_races;
    uf_host_cuda.order = order;
    uf_plant(fault, mended);
    return uf_host_cuda.num_races - before;
}

static void test_planted(void** state) {
    (void)state;
    uf_host_cuda.expect_races = true;
    for (int fault = 0; fault < NUM_PLANTED; fault++)
        for (int order = 0; order < UF_HOST_NUM_ORDERS; order++) {
            const int64_t faulty = num_found((Planted)fault, false, (UfHostOrder)order),
                          mended = num_found((Planted)fault, true, (UfHostOrder)order);
            if (faulty > 0 && mended == 0) continue;
            fail_msg("%s, order %d: %lld races found in the faulty one, %lld in the mended one",
                     uf_planted_names[fault], order, (long long)faulty, (long long)mended);
        }
    uf_host_cuda.expect_races = false;
}

// Where none is expected, the first stops the program with a sentence that says where.
static void test_sentence(void** state) {
    (void)state;
    static const struct {
        Planted fault;
        const char* pieces[4];
    } cases[] = {
        {NO_BARRIER,
         {"of the program's shared memory: ", "shift_shared<false, 32> (launch ",
          "block 0, thread 32 writes at races_planted.cu:", "block 0, thread 0 read at races_planted.cu:"}},
        {BLOCKS_WRITE,
         {"byte 0 of the 2304 of global memory", "block 1, thread 0 writes at", "block 0, thread 0 wrote"}},
        {COPY, {"a copy (before launch", ") reads, write_all (launch ", "nothing orders them"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[4096] = "";
        int ends[2], status;
        size_t length = 0;
        assert_int_equal(pipe(ends), 0);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            dup2(ends[1], 2);
            num_found(cases[i].fault, false, UF_HOST_FORWARD);
            _exit(0);
        }
        close(ends[1]);
        for (ssize_t n; (n = read(ends[0], text + length, sizeof text - 1 - length)) > 0;)
            length += (size_t)n;
        close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        for (int k = 0; k < 4 && cases[i].pieces[k]; k++)
            if (!strstr(text, cases[i].pieces[k])) fail_msg("'%s' is not in: %s", cases[i].pieces[k], text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planted),
        cmocka_unit_test(test_sentence),
    };
    return cmocka_run_group_tests_name("cuda races", tests, NULL, NULL);
}
