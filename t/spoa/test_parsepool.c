/* The parse pool: results come to the worker that asked, exactly once; a full queue refuses; the end leaves no job unanswered. */
#include "spoa/parsepool.h"
#include "t/lib/guard.h"

#include <stdlib.h>
#include <string.h>

#define JOBS 200

static int answered, parsed, unparsed, submitted;

static void run_result(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    (void)w;
    answered++;
    if (job->facts != NULL)
        parsed++;
    else
        unparsed++;
    pol_facts_free(job->facts);
    free(job);
}

static struct worker *start(void) {
    struct worker_conf conf = {.stack = 1u << 20};
    struct worker *w = worker_start(&conf);
    ck_assert_ptr_nonnull(w);
    return w;
}

static bool submit(struct parsepool *p, struct worker *w, const char *text, size_t len) {
    struct parse_job *job = parse_job_new(w, text, len, run_result);
    ck_assert_ptr_nonnull(job);
    bool ok = parsepool_submit(p, job);
    if (ok)
        submitted++;
    else
        free(job);
    return ok;
}

static void finish(struct parsepool *p, struct worker *w) {
    parsepool_free(p);
    worker_stop(w);
    worker_join(w);
    worker_free(w);
    ck_assert_int_eq(answered, submitted);
}

START_TEST(results) {
    struct worker *w = start();
    struct parsepool *p = parsepool_new(2, JOBS, 1u << 20, &(struct pol_parse_limits){0});
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < JOBS; i++) ck_assert(submit(p, w, i % 2 == 0 ? "SELECT 1" : "SELEC 1", i % 2 == 0 ? 8 : 7));
    finish(p, w); /* those that still wait are answered as not parsed */
    ck_assert_int_eq(answered, JOBS);
    ck_assert_int_le(parsed, JOBS / 2);
    ck_assert_int_ge(unparsed, JOBS / 2);
}
END_TEST

START_TEST(full) {
    struct worker *w = start();
    struct parsepool *p = parsepool_new(1, 4, 100, &(struct pol_parse_limits){0});
    ck_assert_ptr_nonnull(p);
    char big[200];
    memset(big, ' ', sizeof big);
    ck_assert(!submit(p, w, big, 101)); /* more bytes than may wait at all */
    int refused = 0;
    for (int i = 0; i < 10000; i++)
        if (!submit(p, w, "SELECT 1", 8)) refused++;
    ck_assert_int_gt(refused, 0);
    finish(p, w);
}
END_TEST

int main(void) {
    Suite *s = suite_create("parsepool");
    TCase *t = tcase_create("parsepool");
    tcase_add_test(t, results);
    tcase_add_test(t, full);
    suite_add_tcase(s, t);
    return run_suite(s);
}
