/* Appends a second and latency, with 1 and 64 callers that each wait for their answer, strict and journal.
 * Usage: bench_ledger [SECONDS]. Starts a redis-server of its own. */
#include "spoa/ledger.h"
#include "spoa/log.h"
#include "t/lib/guard.h"
#include "t/lib/redis.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALLERS_MAX 64
#define SAMPLES     400000

static struct led *led;
static _Atomic bool stop;
static double seconds = 2; /* each row */

struct caller {
    pthread_t thread;
    char session[16];
    sem_t sem;
    uint32_t *ns;
    size_t n, failed;
};

static void on_done(void *arg, enum led_status status) {
    struct caller *c = arg;
    if (status != LED_OK) c->failed++;
    sem_post(&c->sem);
}

static uint64_t nanos(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *call(void *arg) {
    struct caller *c = arg;
    static char sql[200];
    struct led_field f[] = {{"principal", "agent@shop.example", 18, NULL},
                            {"database", "shop", 4, NULL},
                            {"sql", sql, sizeof sql, NULL},
                            {"verdict", "allow", 5, NULL}};
    while (!atomic_load(&stop) && c->n < SAMPLES) {
        uint64_t start = nanos();
        led_append(led, &(struct led_event){LED_SESSION, c->session, "statement", f, 4, false}, on_done, c);
        while (sem_wait(&c->sem) < 0) continue;
        c->ns[c->n++] = (uint32_t)(nanos() - start);
    }
    return NULL;
}

static int order(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void run(const struct led_conf *conf, size_t callers) {
    char err[600];
    led = led_open(conf, err, sizeof err);
    ck_assert_msg(led != NULL, "%s", err);
    struct caller *c = calloc(callers, sizeof *c);
    atomic_store(&stop, false);
    uint64_t start = nanos();
    for (size_t i = 0; i < callers; i++) {
        snprintf(c[i].session, sizeof c[i].session, "s%zu", i);
        sem_init(&c[i].sem, 0, 0);
        c[i].ns = malloc(SAMPLES * sizeof *c[i].ns);
        pthread_create(&c[i].thread, NULL, call, &c[i]);
    }
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
    atomic_store(&stop, true);
    uint32_t *all = malloc(callers * SAMPLES * sizeof *all);
    size_t n = 0, failed = 0;
    for (size_t i = 0; i < callers; i++) {
        pthread_join(c[i].thread, NULL);
        memcpy(all + n, c[i].ns, c[i].n * sizeof *all);
        n += c[i].n;
        failed += c[i].failed;
        free(c[i].ns);
    }
    double took = (double)(nanos() - start) / 1e9;
    qsort(all, n, sizeof *all, order);
    printf("%-8s %-5s %7zu %12.0f %9.1f %9.1f %7zu\n", conf->mode == LED_STRICT ? "strict" : "journal", conf->fsync ? "yes" : "no", callers,
           (double)n / took, n > 0 ? all[n / 2] / 1e3 : 0, n > 0 ? all[n / 100 * 99] / 1e3 : 0, failed);
    fflush(stdout);
    free(all);
    free(c);
    led_close(led, 10000);
}

START_TEST(table) {
    struct redis rds;
    char dir[120];
    int round = 0;
    log_init(LOG_WARN);
    redis_init(&rds);
    redis_start(&rds, 0);
    printf("%-8s %-5s %7s %12s %9s %9s %7s\n", "mode", "fsync", "callers", "appends/s", "p50 us", "p99 us", "failed");
    for (int fsync = 0; fsync < 2; fsync++)
        for (int mode = 0; mode < 2; mode++)
            for (size_t callers = 1; callers <= CALLERS_MAX; callers *= CALLERS_MAX) {
                snprintf(dir, sizeof dir, "%s/j%d", rds.dir, round++);
                redis_run(&rds, "FLUSHALL");
                run(&(struct led_conf){.dir = dir,
                                       .node = "bench",
                                       .mode = mode == 0 ? LED_STRICT : LED_JOURNAL,
                                       .fsync = fsync == 1,
                                       .redis_socket = rds.sock},
                    callers);
            }
    redis_free(&rds);
}
END_TEST

/* Check runs it because the server's helper asserts; nothing is judged here. */
int main(int argc, char **argv) {
    if (argc > 1) seconds = strtod(argv[1], NULL);
    Suite *s = suite_create("bench");
    TCase *t = tcase_create("bench");
    tcase_set_timeout(t, 600);
    tcase_add_test(t, table);
    suite_add_tcase(s, t);
    return run_suite(s);
}
