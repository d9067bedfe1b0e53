/* Journals beside each other, with a real Redis: each its numbers, none forgotten, none shipped twice. */
#include "spoa/journal.h"
#include "spoa/ledger_slots.h"
#include "spoa/log.h"
#include "t/lib/guard.h"
#include "t/lib/redis.h"

#include <fcntl.h>
#include <inttypes.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct redis rds;
static char dir[96], err[600];
static struct led_conf conf;

static void setup(void) {
    log_init(LOG_ERROR);
    log_set_level((enum log_level) - 1); /* the failures here are wanted */
    redis_init(&rds);
    redis_start(&rds, 0);
    snprintf(dir, sizeof dir, "%s/journal", rds.dir);
    conf = (struct led_conf){.dir = dir, .node = "n1", .mode = LED_JOURNAL, .redis_socket = rds.sock, .timeout_ms = 2000};
}
static void teardown(void) { redis_free(&rds); }

static void on_done(void *arg, enum led_status status) {
    ck_assert_int_eq(status, LED_OK);
    sem_post(arg);
}

static void append(struct led *l, const char *session) {
    struct led_event ev = {.stream = LED_SESSION, .session = session, .type = "statement"};
    sem_t sem;
    sem_init(&sem, 0, 0);
    led_append(l, &ev, on_done, &sem);
    while (sem_wait(&sem) < 0) continue;
    sem_destroy(&sem);
}

static struct led *open_free(unsigned want) {
    unsigned slot = 99;
    struct led *l = led_open_free(&conf, &slot, err, sizeof err);
    ck_assert_msg(l != NULL, "%s", err);
    ck_assert_uint_eq(slot, want);
    return l;
}

static uint64_t shipped(const char *node) {
    redisReply *p = redis_do(&rds, "GET gatehouse:shipped:%s", node);
    uint64_t n = p->type == REDIS_REPLY_STRING ? strtoull(p->str, NULL, 10) : 0;
    freeReplyObject(p);
    return n;
}
static void expect(const char *session, const char *node, size_t n) {
    redisReply *p = redis_do(&rds, "XRANGE gatehouse:audit:%s - +", session);
    ck_assert_uint_eq(p->elements, n);
    for (size_t i = 0; i < n; i++) ck_assert_str_eq(p->element[i]->element[1]->element[5]->str, node);
    freeReplyObject(p);
}
static void wait_shipped(const char *node, uint64_t n) {
    for (int i = 0; i < 3000 && shipped(node) != n; i++) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    ck_assert_uint_eq(shipped(node), n);
}

START_TEST(each_has_its_own) {
    struct led *a = open_free(0), *b = open_free(1), *c = open_free(2);
    append(a, "x");
    append(b, "y");
    append(c, "z");
    append(a, "x");
    ck_assert(led_wait(a, 10000) && led_wait(b, 10000) && led_wait(c, 10000));
    wait_shipped("n1", 2);
    wait_shipped("n1/1", 1);
    expect("x", "n1", 2);
    expect("y", "n1/1", 1);
    expect("z", "n1/2", 1);
    led_close(a, 1000);
    a = open_free(0); /* free again */
    led_close(b, 1000);
    b = open_free(1);
    append(b, "y2");
    wait_shipped("n1/1", 2);
    led_close(a, 1000);
    led_close(b, 1000);
    led_close(c, 1000);
}
END_TEST

START_TEST(all_taken) {
    struct led *l[LED_SLOTS];
    unsigned slot;
    for (unsigned i = 0; i < LED_SLOTS; i++) l[i] = open_free(i);
    ck_assert_ptr_null(led_open_free(&conf, &slot, err, sizeof err));
    ck_assert_ptr_nonnull(strstr(err, "are in use"));
    for (unsigned i = 0; i < LED_SLOTS; i++) led_close(l[i], 100);
    conf.slot = LED_SLOTS;
    ck_assert_ptr_null(led_open(&conf, err, sizeof err));
}
END_TEST

START_TEST(a_damaged_one_is_not_passed_over) {
    unsigned slot;
    led_close(open_free(0), 100);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    ck_assert_ptr_null(led_open_free(&conf, &slot, err, sizeof err));
    ck_assert_ptr_nonnull(strstr(err, "chmod 700"));
}
END_TEST

/* A process that leaves n events in a journal and is killed while Redis is away. */
static void killed(unsigned slot, const char *session, unsigned n) {
    int ready[2];
    char c;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        conf.slot = slot;
        struct led *l = led_open(&conf, err, sizeof err);
        for (unsigned i = 0; l != NULL && i < n; i++) append(l, session);
        if (l == NULL || write(ready[1], "", 1) != 1) _exit(1);
        for (;;) pause();
    }
    ck_assert_int_eq(read(ready[0], &c, 1), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ready[0]);
    close(ready[1]);
}

START_TEST(what_a_killed_one_left_is_shipped) {
    redis_kill(&rds);
    killed(0, "x", 3);
    killed(1, "y", 5);
    redis_start(&rds, 0);
    ck_assert_uint_eq(shipped("n1") + shipped("n1/1"), 0);
    conf.slot = 2;
    struct led *l = led_open(&conf, err, sizeof err);
    ck_assert_msg(l != NULL, "%s", err);
    struct led_keeper *k = led_keeper_start(&conf, 2, l);
    wait_shipped("n1", 3);
    wait_shipped("n1/1", 5);
    /* ... while it runs, too */
    for (int i = 0; i < 3000 && jnl_held(dir) == JNL_HELD; i++) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    struct led *other = open_free(0);
    nanosleep(&(struct timespec){.tv_nsec = 700000000}, NULL); /* seen by the keeper; if not, it finds the journal at the next start */
    append(other, "x");
    led_close(other, 2000);
    wait_shipped("n1", 4);
    expect("x", "n1", 4);
    expect("y", "n1/1", 5);
    led_keeper_stop(k);
    led_close(l, 1000);
}
END_TEST

START_TEST(redis_that_lost_everything_is_filled_from_all) {
    struct led *a = open_free(0), *b = open_free(1);
    append(a, "x");
    append(b, "y");
    wait_shipped("n1", 1);
    wait_shipped("n1/1", 1);
    led_close(b, 1000);
    struct led_keeper *k = led_keeper_start(&conf, 0, a);
    for (int i = 0; i < 3000 && led_connects(a) == 0; i++) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    redis_kill(&rds);
    redis_start(&rds, 0); /* it keeps nothing */
    wait_shipped("n1", 1);
    wait_shipped("n1/1", 1);
    expect("x", "n1", 1);
    expect("y", "n1/1", 1);
    led_keeper_stop(k);
    led_close(a, 1000);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ledger_slots");
    TCase *t = tcase_create("ledger_slots");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, each_has_its_own);
    tcase_add_test(t, all_taken);
    tcase_add_test(t, a_damaged_one_is_not_passed_over);
    tcase_add_test(t, what_a_killed_one_left_is_shipped);
    tcase_add_test(t, redis_that_lost_everything_is_filled_from_all);
    suite_add_tcase(s, t);
    return run_suite(s);
}
