/* The hash chain over restarts, kills, full files and slots; anchors in a file and by a command; what an acknowledgement of Redis means. */
#include "spoa/ledger.h"
#include "spoa/ledger_chain.h"
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
static char dir[96], file[120], err[600];
static struct led_conf conf;
static struct led *led;

static void setup(void) {
    log_init(LOG_ERROR);
    log_set_level((enum log_level) - 1);
    redis_init(&rds);
    redis_start(&rds, 0);
    snprintf(dir, sizeof dir, "%s/journal", rds.dir);
    snprintf(file, sizeof file, "%s/anchors", rds.dir);
    conf = (struct led_conf){.dir = dir,
                             .node = "n1",
                             .mode = LED_STRICT,
                             .redis_socket = rds.sock,
                             .timeout_ms = 2000,
                             .anchor_ms = 3600000,
                             .anchor_file = file};
    led = NULL;
}

static void teardown(void) {
    if (led != NULL) led_close(led, 100);
    redis_free(&rds);
}

static void open_ledger(void) {
    led = led_open(&conf, err, sizeof err);
    ck_assert_msg(led != NULL, "%s", err);
}
static void close_ledger(void) {
    led_close(led, 5000);
    led = NULL;
}

static void on_done(void *arg, enum led_status status) {
    struct {
        sem_t sem;
        enum led_status status;
    } *c = arg;
    c->status = status;
    sem_post(&c->sem);
}
static enum led_status append(enum led_stream stream, size_t size) {
    struct {
        sem_t sem;
        enum led_status status;
    } c;
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    const struct led_field f = {"sql", text, size, NULL};
    sem_init(&c.sem, 0, 0);
    led_append(led, &(struct led_event){stream, stream == LED_SESSION ? "s" : NULL, "statement", &f, 1, false}, on_done, &c);
    while (sem_wait(&c.sem) < 0) continue;
    free(text);
    return c.status;
}

static uint64_t ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
static void nap(long millis) { nanosleep(&(struct timespec){millis / 1000, millis % 1000 * 1000000}, NULL); }
static void wait_healthy(bool healthy) {
    for (uint64_t end = ms() + 10000; led_healthy(led) != healthy; nap(5))
        ck_assert_msg(ms() < end, "still %s", healthy ? "not healthy" : "healthy");
}

static bool same(const struct chain *a, const struct chain *b) {
    return a->main.seq == b->main.seq && strcmp(a->main.hash, b->main.hash) == 0 && a->auth.seq == b->auth.seq &&
           strcmp(a->auth.hash, b->auth.hash) == 0;
}

struct found {
    uint64_t last, anchors, anchored; /* anchored: the last anchor */
    struct chain chain;
};

/* The journal in a folder: numbers without gaps, both chains whole, anchors that fit. */
static struct found check_journal(const char *folder) {
    struct jnl *j = jnl_open(&(struct jnl_conf){.dir = folder}, (char[400]){0}, 400, err, sizeof err);
    struct found f = {0};
    uint64_t seq;
    const char *json;
    size_t len, line;
    ck_assert_msg(j != NULL, "%s", err);
    chain_init(&f.chain);
    ck_assert(jnl_seek(j, 1, err, sizeof err));
    while (jnl_next(j, &seq, &json, &len, &line, err, sizeof err) == JNL_LINE) {
        struct lev *e = lev_parse(json, len);
        struct chain_anchor a;
        ck_assert_ptr_nonnull(e);
        ck_assert_uint_eq(seq, ++f.last);
        struct chain_head *head = chain_of(&f.chain, e->stream);
        ck_assert_str_eq(lev_field(e, "prev"), head->hash);
        if (strcmp(lev_field(e, "type"), "anchor") == 0) {
            f.anchors++;
            f.anchored = seq;
            ck_assert(chain_anchor_read(lev_field(e, "signed"), &a));
            ck_assert_uint_eq(a.seq, seq);
            ck_assert(same(&a.ends, &f.chain));
        }
        head->seq = seq;
        ck_assert(chain_hash(e->key, e->parts, e->nparts, head->hash));
        lev_free_all(e);
    }
    jnl_close(j);
    return f;
}

static size_t lines(const char *path) {
    FILE *f = fopen(path, "r");
    size_t n = 0;
    for (int c; f != NULL && (c = getc(f)) != EOF;) n += c == '\n';
    if (f != NULL) fclose(f);
    return n;
}

/* SHA-256 of "12:gatehouse:aX,1:a,2:bc," by another program. */
START_TEST(a_hash) {
    const struct lev_part parts[] = {{"a", 1}, {"bc", 2}};
    char out[LEV_HASH_TEXT], want[80];
    ck_assert(chain_hash("gatehouse:aX", parts, 2, out));
    FILE *f = popen("printf '12:gatehouse:aX,1:a,2:bc,' | sha256sum", "r");
    ck_assert_ptr_nonnull(fgets(want, sizeof want, f));
    pclose(f);
    want[64] = '\0';
    ck_assert_str_eq(out, want);
    const struct lev_part moved[] = {{"ab", 2}, {"c", 1}};
    ck_assert(chain_hash("gatehouse:aX", moved, 2, out));
    ck_assert_str_ne(out, want);
}
END_TEST

START_TEST(an_anchor_is_read_as_written) {
    struct chain_anchor a = {.seq = 12, .node = "n1/1", .time = "2026-01-01T00:00:00.000Z"}, b;
    chain_init(&a.ends);
    a.ends.main.seq = 11;
    char *text = chain_anchor_text(&a);
    ck_assert(chain_anchor_read(text, &b));
    ck_assert_uint_eq(b.seq, 12);
    ck_assert_str_eq(b.node, "n1/1");
    ck_assert(same(&b.ends, &a.ends));
    free(text);
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"gatehouse\":\"anchor\"}",
        "{\"gatehouse\":\"approval\",\"node\":\"n\",\"seq\":1}",
        "{\"gatehouse\":\"anchor\",\"node\":\"n\",\"seq\":1,\"time\":\"t\",\"main\":{\"seq\":0,\"hash\":\"" CHAIN_ZERO
        "\"},\"auth\":{\"seq\":0,\"hash\":\"xx\"}}",
        "{\"gatehouse\":\"anchor\",\"node\":\"n\",\"seq\":1,\"time\":\"t\",\"main\":{\"seq\":5,\"hash\":\"" CHAIN_ZERO
        "\"},\"auth\":{\"seq\":0,\"hash\":\"" CHAIN_ZERO "\"}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) ck_assert_msg(!chain_anchor_read(bad[i], &b), "%s", bad[i]);
}
END_TEST

/* Restarts, with an event of either chain at the end, and files of a few kB. */
START_TEST(over_restarts_and_files) {
    conf.segment_bytes = 4000;
    for (int round = 0; round < 8; round++) {
        open_ledger();
        for (int i = 0; i < 5; i++) ck_assert_int_eq(append(i % 2 == round % 2 ? LED_AUTH : LED_SESSION, 700), LED_OK);
        close_ledger();
        struct found f = check_journal(dir);
        ck_assert_uint_ge(f.anchors, (uint64_t)round + 1);
        ck_assert_uint_eq(f.chain.main.seq, f.last); /* the last event is an anchor */
        ck_assert_uint_eq(lines(file), f.anchors);
    }
    open_ledger(); /* nothing new: no anchor */
    uint64_t before = lines(file);
    close_ledger();
    ck_assert_uint_eq(lines(file), before);
}
END_TEST

/* A login flood fills whole files: the main chain is found behind it all the same, in the anchor that each file begins with. */
START_TEST(a_chain_that_ended_long_ago) {
    conf.segment_bytes = 4000;
    open_ledger();
    ck_assert_int_eq(append(LED_SESSION, 10), LED_OK);
    for (int i = 0; i < 40; i++) ck_assert_int_eq(append(LED_AUTH, 900), LED_OK);
    close_ledger();
    open_ledger();
    for (int i = 0; i < 40; i++) ck_assert_int_eq(append(LED_SESSION, 900), LED_OK);
    close_ledger();
    open_ledger();
    ck_assert_int_eq(append(LED_AUTH, 10), LED_OK);
    ck_assert_int_eq(append(LED_SESSION, 10), LED_OK);
    close_ledger();
    struct found f = check_journal(dir);
    ck_assert_uint_ge(f.last, 84);
}
END_TEST

/* Killed in the middle: the next one goes on where the journal ends, and anchors it at once. */
START_TEST(after_a_kill) {
    for (int round = 0; round < 5; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            led = led_open(&conf, err, sizeof err);
            if (led == NULL) _exit(2);
            for (int i = 0;; i++) {
                const struct led_field f = {"n", "x", 1, NULL};
                led_append(led, &(struct led_event){i % 3 == 0 ? LED_AUTH : LED_SESSION, i % 3 == 0 ? NULL : "s", "x", &f, 1, false}, NULL,
                           NULL);
                if (i % 32 == 0) nap(1);
            }
        }
        nap(150);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        struct found left = check_journal(dir); /* on a slow machine it may not have begun */
        size_t anchors = lines(file);
        open_ledger();
        for (uint64_t end = ms() + 30000; left.last > left.anchored && lines(file) == anchors; nap(5))
            ck_assert_msg(ms() < end, "no anchor");
        close_ledger();
    }
    struct found f = check_journal(dir);
    ck_assert_uint_ge(f.anchors, 1);
    ck_assert_uint_eq(f.anchored, f.last);
}
END_TEST

/* A journal of another slot has chains of its own, signed with the same key. */
START_TEST(slots) {
    char second[120];
    open_ledger();
    ck_assert_int_eq(append(LED_SESSION, 10), LED_OK);
    struct led *first = led;
    conf.slot = 1;
    open_ledger();
    ck_assert_int_eq(append(LED_AUTH, 10), LED_OK);
    close_ledger();
    led = first;
    close_ledger();
    snprintf(second, sizeof second, "%s/slot-1", dir);
    ck_assert_uint_eq(check_journal(dir).last, 2);
    ck_assert_uint_eq(check_journal(second).last, 2);
    ck_assert_uint_eq(lines(file), 2);
    snprintf(second, sizeof second, "%s/slot-1/node.key", dir);
    ck_assert_int_ne(access(second, F_OK), 0);
}
END_TEST

START_TEST(at_its_interval) {
    conf.anchor_ms = 100;
    open_ledger();
    for (int round = 1; round <= 3; round++) {
        ck_assert_int_eq(append(LED_SESSION, 10), LED_OK);
        for (uint64_t end = ms() + 30000; lines(file) < (size_t)round; nap(5)) ck_assert_msg(ms() < end, "no anchor");
        nap(250); /* and none while nothing happens */
        ck_assert_uint_eq(lines(file), (size_t)round);
    }
    close_ledger();
}
END_TEST

START_TEST(by_a_command) {
    char script[120], out[120], text[300];
    snprintf(script, sizeof script, "%s/command", rds.dir);
    snprintf(out, sizeof out, "%s/out", rds.dir);
    FILE *f = fopen(script, "w");
    fprintf(f, "#!/bin/sh\n[ \"$1\" = 'an argument' ] || exit 3\ncat >>%s\nset >%s.env\nls /proc/self/fd >%s.fds\n", out, out, out);
    fclose(f);
    chmod(script, 0755);
    const char *const argv[] = {script, "an argument", NULL};
    conf.anchor_command = argv;
    open_ledger();
    ck_assert_int_eq(append(LED_SESSION, 10), LED_OK);
    close_ledger();
    ck_assert_uint_eq(lines(out), 1);
    f = fopen(out, "r");
    ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "{\"anchor\":\"{\\\"gatehouse\\\":\\\"anchor\\\",\\\"node\\\":\\\"n1\\\",\\\"seq\\\":2,"));
    snprintf(text, sizeof text, "%s.fds", out);
    ck_assert_uint_le(lines(text), 4); /* its own and those of ls */
}
END_TEST

/* One that hangs, one that fails, a file that cannot be: statements go on, it is counted, and the newest anchors are kept for later. */
START_TEST(nothing_takes_them) {
    struct led_stats st;
    char gone[120];
    snprintf(gone, sizeof gone, "%s/gone/anchors", rds.dir);
    conf.anchor_file = gone;
    conf.anchor_ms = 20;
    open_ledger();
    for (int i = 0; i < 60; i++) {
        ck_assert_int_eq(append(LED_SESSION, 10), LED_OK);
        nap(10);
    }
    led_stats(led, &st);
    ck_assert_uint_ge(st.anchors_failed, 1);
    *strrchr(gone, '/') = '\0';
    ck_assert_int_eq(mkdir(gone, 0700), 0);
    gone[strlen(gone)] = '/';
    close_ledger(); /* what waits is delivered */
    ck_assert_uint_ge(lines(gone), 2);
    conf.anchor_command = (const char *const[]){"/bin/sleep", "60", NULL};
    open_ledger();
    ck_assert_int_eq(append(LED_SESSION, 10), LED_OK);
    uint64_t start = ms();
    led_close(led, 300);
    led = NULL;
    ck_assert_uint_lt(ms() - start, 20000); /* not the sleep's minute */
}
END_TEST

/* ---- durability ---- */

START_TEST(redis_that_does_not_write) {
    conf.redis_fsync = true;
    open_ledger();
    wait_healthy(false);
    led_why(led, err, sizeof err);
    ck_assert_msg(strstr(err, "appendfsync always") != NULL, "%s", err);
    ck_assert_int_eq(append(LED_SESSION, 10), LED_UNAVAILABLE);
    redis_run(&rds, "CONFIG SET appendonly yes");
    nap(300);
    ck_assert(!led_healthy(led)); /* every second is not at once */
    redis_run(&rds, "CONFIG SET appendfsync always");
    wait_healthy(true);
    ck_assert_int_eq(append(LED_SESSION, 10), LED_OK);
    redisReply *p = redis_do(&rds, "XLEN gatehouse:audit:s");
    ck_assert_int_eq(p->integer, 1);
    freeReplyObject(p);
}
END_TEST

START_TEST(replicas) {
    struct redis second;
    int port = 20000 + getpid() % 20000;
    redis_kill(&rds);
    redis_start(&rds, port);
    conf.replicas = 1;
    conf.timeout_ms = 800;
    open_ledger();
    wait_healthy(false);
    led_why(led, err, sizeof err);
    ck_assert_msg(strstr(err, "on 1 replicas, and 0") != NULL, "%s", err);
    redis_init(&second);
    redis_start(&second, 0);
    redis_run(&rds, "CONFIG SET repl-diskless-sync-delay 0");
    redis_run(&second, "REPLICAOF 127.0.0.1 %d", port);
    for (uint64_t end = ms() + 20000; append(LED_SESSION, 10) != LED_OK; nap(20)) ck_assert_msg(ms() < end, "the replica does not count");
    redisReply *p = redis_do(&rds, "XLEN gatehouse:audit:s");
    long long before = p->integer;
    freeReplyObject(p);
    for (int i = 0; i < 20; i++) {                       /* what was acknowledged is on the replica, at once */
        if (append(LED_SESSION, 10) != LED_OK) continue; /* the machine has other things to do */
        p = redis_do(&second, "XLEN gatehouse:audit:s");
        ck_assert_int_ge(p->integer, ++before);
        freeReplyObject(p);
    }
    kill(second.pid, SIGSTOP);
    ck_assert_int_eq(append(LED_SESSION, 10), LED_UNAVAILABLE);
    wait_healthy(false);
    led_why(led, err, sizeof err);
    ck_assert_msg(strstr(err, "on 1 replicas, and 0") != NULL || strstr(err, "did not answer") != NULL, "%s", err);
    kill(second.pid, SIGCONT);
    for (uint64_t end = ms() + 20000; append(LED_SESSION, 10) != LED_OK; nap(20))
        ck_assert_msg(ms() < end, "the replica does not count again");
    close_ledger();
    p = redis_do(&second, "EVAL %s 0", /* nothing twice */
                 "local seen = {} for _, e in ipairs(redis.call('XRANGE', 'gatehouse:audit:s', '-', '+')) do "
                 "if seen[e[2][4]] then return 1 end seen[e[2][4]] = true end return 0");
    ck_assert_int_eq(p->integer, 0);
    freeReplyObject(p);
    redis_free(&second);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ledger_chain");
    TCase *t = tcase_create("ledger_chain");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_hash);
    tcase_add_test(t, an_anchor_is_read_as_written);
    tcase_add_test(t, over_restarts_and_files);
    tcase_add_test(t, a_chain_that_ended_long_ago);
    tcase_add_test(t, after_a_kill);
    tcase_add_test(t, slots);
    tcase_add_test(t, at_its_interval);
    tcase_add_test(t, by_a_command);
    tcase_add_test(t, nothing_takes_them);
    tcase_add_test(t, redis_that_does_not_write);
    tcase_add_test(t, replicas);
    suite_add_tcase(s, t);
    return run_suite(s);
}
