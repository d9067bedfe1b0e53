/* Events that are made by one thread and appended by another, which are large: with a real Redis, each once, answered, and between others'. */
#include "t/spoa/ledger_fixture.h"

#include <pthread.h>

#define LARGE (400u << 10)

static char filler[LARGE];

static void fill_large(void) { memset(filler, 'x', sizeof filler); }

static struct lev *make(const char *session, uint64_t n) {
    char text[24];
    struct led_field f[] = {{"n", text, (size_t)snprintf(text, sizeof text, "%" PRIu64, n), NULL}, {"sql", filler, sizeof filler, NULL}};
    return led_make(led, &(struct led_event){.stream = LED_SESSION, .session = session, .type = "statement", .fields = f, .nfields = 2});
}

static void append_large(const char *session, uint64_t n, bool journal_does, struct call *c) {
    if (c != NULL) sem_init(&c->sem, 0, 0);
    led_append_made(led, make(session, n), journal_does, c != NULL ? on_done : NULL, c);
}

/* The number that an event has got. */
static uint64_t seq_of(const char *key, uint64_t n) {
    redisReply *p = redis_do(&rds, "XRANGE %s - +", key);
    uint64_t seq = 0;
    for (size_t i = 0; i < p->elements; i++)
        if (strtoull(field(p->element[i], "n"), NULL, 10) == n) seq = strtoull(field(p->element[i], "seq"), NULL, 10);
    freeReplyObject(p);
    ck_assert_uint_gt(seq, 0);
    return seq;
}

/* Forty of them, and small ones behind, which do not wait for all of the large ones. */
START_TEST(others_come_between) {
    struct call large[40], small[200];
    conf.mode = _i == 0 ? LED_STRICT : LED_JOURNAL;
    conf.timeout_ms = 30000;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    for (uint64_t n = 0; n < 40; n++) append_large("l", n + 1, false, &large[n]);
    for (uint64_t n = 0; n < 200; n++) {
        append("s", n + 2, &small[n]);
        if (n % 20 == 0) nap(1);
    }
    for (int n = 0; n < 200; n++) ck_assert_int_eq(wait_for(&small[n]), LED_OK);
    for (int n = 0; n < 40; n++) ck_assert_int_eq(wait_for(&large[n]), LED_OK);
    ck_assert(led_wait(led, 20000));
    expect("gatehouse:audit:l", "statement", 1, 40);
    expect("gatehouse:audit:s", "statement", 1, 201);
    ck_assert_uint_lt(seq_of("gatehouse:audit:s", 2), seq_of("gatehouse:audit:l", 40));
    close_ledger(5000);
    ck_assert_uint_eq(shipped("n1"), 241);
}
END_TEST

struct talk {
    char session[8];
    unsigned large;
};

/* Each waits for its large ones before it goes on, as sessions do, so that its stream is in order. */
static void *talk(void *arg) {
    const struct talk *t = arg;
    struct call c;
    for (uint64_t n = 1; n <= 200; n++) {
        if (n % 10 == t->large) {
            append_large(t->session, n, n % 20 < 10, &c);
            ck_assert_int_eq(wait_for(&c), LED_OK);
        } else
            append(t->session, n, NULL);
    }
    return NULL;
}

START_TEST(order_within_a_session) {
    struct talk talks[4] = {{"t0", 0}, {"t1", 3}, {"t2", 5}, {"t3", 9}};
    pthread_t t[4];
    conf.mode = _i == 0 ? LED_STRICT : LED_JOURNAL;
    conf.timeout_ms = 30000;
    open_ledger();
    for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, talk, &talks[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    close_ledger(20000);
    for (int i = 0; i < 4; i++) {
        char key[96];
        snprintf(key, sizeof key, "gatehouse:audit:%s", talks[i].session);
        expect(key, "statement", 1, 200);
    }
}
END_TEST

/* strict: who waits for Redis is told that it is away, who is content with the journal is not. */
START_TEST(without_redis) {
    struct call c[3];
    conf.timeout_ms = 300;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    kill(rds.pid, SIGSTOP);
    append_large("l", 1, false, &c[0]); /* Redis hangs, which nobody knows yet */
    ck_assert_int_eq(wait_for(&c[0]), LED_UNAVAILABLE);
    wait_healthy(false);
    append_large("l", 9, false, &c[1]);
    append_large("l", 2, true, &c[2]);
    ck_assert_int_eq(wait_for(&c[1]), LED_UNAVAILABLE);
    ck_assert_int_eq(wait_for(&c[2]), LED_OK);
    append_large("l", 3, true, NULL);
    kill(rds.pid, SIGCONT);
    wait_healthy(true);
    ck_assert_int_eq(append_wait("s", 2), LED_OK);
    ck_assert(led_wait(led, 20000));
    expect("gatehouse:audit:l", "statement", 1, 3);
}
END_TEST

/* More than there is room for: turned away, not lost in silence, and the small ones go on. */
START_TEST(more_than_fits) {
    static struct call c[200];
    unsigned ok = 0, away = 0;
    conf.timeout_ms = 5000;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    kill(rds.pid, SIGSTOP);
    for (uint64_t n = 0; n < 200; n++) append_large("l", n + 1, true, &c[n]);
    for (int n = 0; n < 200; n++) {
        enum led_status status = wait_for(&c[n]);
        ok += status == LED_OK;
        away += status == LED_UNAVAILABLE;
    }
    ck_assert_uint_eq(ok + away, 200);
    ck_assert_uint_gt(ok, 0);
    kill(rds.pid, SIGCONT);
    wait_healthy(true);
    ck_assert_int_eq(append_wait("s", 2), LED_OK);
    ck_assert(led_wait(led, 60000));
    redisReply *p = redis_do(&rds, "XLEN gatehouse:audit:l");
    ck_assert_uint_eq((unsigned)p->integer, ok);
    freeReplyObject(p);
}
END_TEST

/* However much of them waits, there is room for the others. */
START_TEST(room_for_small_ones) {
    conf.timeout_ms = 3000;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    kill(rds.pid, SIGSTOP);
    append("s", 2, NULL);
    for (uint64_t n = 0; n < 300; n++) append_large("l", n + 1, true, NULL); /* 120 MB */
    for (uint64_t n = 3; n <= 1000; n++) append("s", n, NULL);
    kill(rds.pid, SIGCONT);
    ck_assert(led_wait(led, 60000));
    expect("gatehouse:audit:s", "statement", 1, 1000);
}
END_TEST

START_TEST(closing_answers_everybody) {
    struct call c[30];
    conf.timeout_ms = 60000;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    kill(rds.pid, SIGSTOP);
    for (uint64_t n = 0; n < 30; n++) append_large("l", n + 1, false, &c[n]);
    uint64_t start = ms();
    close_ledger(200);
    ck_assert_uint_lt(ms() - start, 5000);
    kill(rds.pid, SIGCONT);
    for (int n = 0; n < 30; n++) ck_assert_int_eq(wait_for(&c[n]), LED_UNAVAILABLE);
    open_ledger(); /* they are in the journal */
    wait_shipped(31);
    expect("gatehouse:audit:l", "statement", 1, 30);
}
END_TEST

START_TEST(what_could_not_be_made) {
    struct call c;
    open_ledger();
    sem_init(&c.sem, 0, 0);
    led_append_made(led, NULL, true, on_done, &c);
    ck_assert_int_eq(wait_for(&c), LED_FAILED);
    led_drop_made(make("l", 1));
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ledger_made");
    TCase *t = tcase_create("ledger_made");
    fill_large();
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, others_come_between, 0, 2);
    tcase_add_loop_test(t, order_within_a_session, 0, 2);
    tcase_add_test(t, without_redis);
    tcase_add_test(t, more_than_fits);
    tcase_add_test(t, room_for_small_ones);
    tcase_add_test(t, closing_answers_everybody);
    tcase_add_test(t, what_could_not_be_made);
    suite_add_tcase(s, t);
    return run_suite(s);
}
