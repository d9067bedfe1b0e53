/* The parse pool: results come to the worker that asked, exactly once; a full queue refuses; the end leaves no job unanswered. */
#include "spoa/parsepool.h"
#include "t/lib/guard.h"

#include <stdlib.h>
#include <string.h>

#define JOBS 200

static int answered, parsed, unparsed, submitted;
static const char *order[JOBS]; /* whose they were */

static void run_result(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    (void)w;
    order[answered++ % JOBS] = job->owner;
    if (job->facts != NULL)
        parsed++;
    else
        unparsed++;
    pol_facts_free(job->facts);
    free(job);
}

static struct worker *start(void) {
    struct worker_conf conf = {.stack = 1u << 20};
    struct worker *w;
    ck_assert(worker_start(&w, &conf));
    return w;
}

static bool submit_for(struct parsepool *p, struct worker *w, const char *who, const char *text, size_t len) {
    struct parse_job *job = parse_job_new(w, text, len, run_result);
    ck_assert_ptr_nonnull(job);
    job->owner = (void *)(uintptr_t)who;
    bool ok = parsepool_submit(p, job, who);
    if (ok)
        submitted++;
    else
        free(job);
    return ok;
}

static bool submit(struct parsepool *p, struct worker *w, const char *text, size_t len) { return submit_for(p, w, "one", text, len); }

static void finish(struct parsepool *p, struct worker *w) {
    parsepool_free(p);
    worker_stop(w);
    worker_join(w);
    worker_free(w);
    ck_assert_int_eq(answered, submitted);
}

START_TEST(results) {
    struct worker *w = start();
    struct parsepool *p = parsepool_new(2, 2 * JOBS, 1u << 20, &(struct pol_parse_limits){0});
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

/* A text that takes a thread long enough for some more to be submitted. */
static char *long_text(size_t len) {
    char *text = malloc(len + 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, "SELECT 1", 8);
    for (size_t i = 8; i + 1 < len; i += 2) memcpy(text + i, ",1", 2);
    text[len] = '\0';
    return text;
}

START_TEST(turns) {
    size_t len = 128u << 10, waiting, bytes;
    char *text = long_text(len);
    struct worker *w = start();
    struct parsepool *p = parsepool_new(1, 8, 64u << 20, &(struct pol_parse_limits){0});
    ck_assert_ptr_nonnull(p);
    ck_assert(submit_for(p, w, "many", text, len));
    int more = 0;
    while (more < 8 && submit_for(p, w, "many", text, len)) more++;
    ck_assert_int_ge(more, 3); /* half of the queue, or one less when the first still waits for the thread */
    ck_assert_int_le(more, 4);
    ck_assert_msg(submit_for(p, w, "other", "SELECT 2", 8), "one principal has filled the queue");
    do parsepool_load(p, &waiting, &bytes);
    while (waiting > 0 || bytes > 0);
    parsepool_free(p);
    worker_stop(w);
    worker_join(w);
    worker_free(w);
    free(text);
    ck_assert_int_eq(answered, submitted);
    int at = 0;
    while (at < answered && strcmp(order[at], "other") != 0) at++;
    ck_assert_int_le(at, 2); /* behind what was at work, and at most one more: not behind all of them */
}
END_TEST

/* One that asks for much has all threads but one. */
START_TEST(one_thread_is_for_others) {
    size_t len = 128u << 10, waiting, bytes, most = 0;
    char *text = long_text(len);
    struct worker *w = start();
    struct parsepool *p = parsepool_new(2, 100, 64u << 20, &(struct pol_parse_limits){0});
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < 8; i++) ck_assert(submit_for(p, w, "many", text, len));
    do {
        parsepool_load(p, &waiting, &bytes);
        if (bytes / len - waiting > most) most = bytes / len - waiting; /* at work */
    } while (bytes > 0);
    ck_assert_uint_eq(most, 1);
    finish(p, w);
    free(text);
    ck_assert_int_eq(answered, 8);
}
END_TEST

START_TEST(stopped) {
    struct worker *w = start();
    struct parsepool *p = parsepool_new(1, 8, 1u << 20, &(struct pol_parse_limits){0});
    ck_assert_ptr_nonnull(p);
    ck_assert(submit(p, w, "SELECT 1", 8));
    parsepool_stop(p);
    ck_assert_msg(!submit(p, w, "SELECT 1", 8), "workers that still run may come with jobs");
    finish(p, w);
}
END_TEST

int main(void) {
    Suite *s = suite_create("parsepool");
    TCase *t = tcase_create("parsepool");
    tcase_add_test(t, results);
    tcase_add_test(t, full);
    tcase_add_test(t, turns);
    tcase_add_test(t, one_thread_is_for_others);
    tcase_add_test(t, stopped);
    suite_add_tcase(s, t);
    return run_suite(s);
}
