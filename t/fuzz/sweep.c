/* Sweeps failing allocations over every file of the folders given, or of the target's own corpus.
 *
 * An input with many allocations is swept in steps, with another offset for each file, or make check would take hours; GH_SWEEP=all takes every one. */
#include "t/fuzz/sweep.h"

#include "t/fuzz/files.h"
#include "t/lib/nomem.h"

#include <jansson.h>
#include <pg_query.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 150u /* of each kind, for one input */

/* libpg_query 15-4.0.0 ends the process when it has no memory: it writes to the error that it could not allocate, and exits where it is not within its own
 * PG_TRY. That lets nothing through, but cannot be swept: so its calls count as one allocation each, which gives its error. */
PgQueryParseResult __real_pg_query_parse(const char *sql);
PgQueryParseResult __wrap_pg_query_parse(const char *sql);
PgQueryNormalizeResult __real_pg_query_normalize(const char *sql);
PgQueryNormalizeResult __wrap_pg_query_normalize(const char *sql);

static PgQueryError *no_memory(void) {
    PgQueryError *e = calloc(1, sizeof *e);
    if (e != NULL) e->message = strdup("out of memory");
    if (e == NULL || e->message == NULL) abort();
    return e;
}

PgQueryParseResult __wrap_pg_query_parse(const char *sql) {
    bool fails = nomem_fails();
    nomem_pause();
    PgQueryParseResult r = {0};
    if (fails)
        r.error = no_memory();
    else
        r = __real_pg_query_parse(sql);
    nomem_resume();
    return r;
}

PgQueryNormalizeResult __wrap_pg_query_normalize(const char *sql) {
    bool fails = nomem_fails();
    nomem_pause();
    PgQueryNormalizeResult r = {0};
    if (fails)
        r.error = no_memory();
    else
        r = __real_pg_query_normalize(sql);
    nomem_resume();
    return r;
}

/* jansson 2.14 likewise: an assertion of its own fails when a number's buffer could not grow (t/spoa/test_json_read.c has what becomes of texts). */
json_t *__real_json_loadb(const char *text, size_t len, size_t flags, json_error_t *e);
json_t *__wrap_json_loadb(const char *text, size_t len, size_t flags, json_error_t *e);

json_t *__wrap_json_loadb(const char *text, size_t len, size_t flags, json_error_t *e) {
    bool fails = nomem_fails();
    if (fails && e != NULL) snprintf(e->text, sizeof e->text, "out of memory");
    nomem_pause();
    json_t *v = fails ? NULL : __real_json_loadb(text, len, flags, e);
    nomem_resume();
    return v;
}

static uint64_t offset;
static unsigned long runs, failures;

void sweep(void (*run)(void *arg), void *arg) {
    const char *env = getenv("GH_SWEEP");
    nomem_arm(0, false);
    run(arg);
    uint64_t n = nomem_disarm(), step = env != NULL && strcmp(env, "all") == 0 ? 1 : n / ROUNDS + 1;
    for (unsigned more = 0; more < 2; more++) {
        for (uint64_t i = 1 + (offset + more) % step;; i += step) {
            nomem_arm(i, more == 1);
            run(arg);
            nomem_disarm();
            runs++;
            if (!nomem_hit()) break;
            failures++;
        }
    }
}

void sweep_show(const char *what, const void *data, size_t len) {
    const uint8_t *p = data;
    fprintf(stderr, "%s (%zu bytes): ", what, len);
    for (size_t i = 0; i < len; i++) fprintf(stderr, p[i] >= ' ' && p[i] < 0x7f ? "%c" : "\\%02x", p[i]);
    fprintf(stderr, "\n");
}

static void one(const uint8_t *data, size_t size, const char *path) {
    for (size_t i = 0; i < size; i++) offset += data[i];
    fuzz_sweep(data, size);
    nomem_leaks(path);
}

int main(int argc, char **argv) {
    int failed = fuzz_files(argc, argv, one);
    printf("%lu runs, in %lu an allocation failed\n", runs, failures);
    return failed || failures == 0;
}
