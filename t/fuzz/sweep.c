/* Sweeps failing allocations over every file of the folders given, or of the target's own corpus.
 *
 * An input with many allocations is swept in steps, with another offset for each file, or make check would take hours; GH_SWEEP=all takes every one. */
#include "t/fuzz/sweep.h"

#include "t/fuzz/files.h"
#include "t/lib/nomem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 150u /* of each kind, for one input */

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
