/* What others write into Redis may be of any size: an answer is taken up to a bound, and the ledger's own connection says what it found. */
#include "spoa/ledger_dial.h"
#include "t/spoa/ledger_fixture.h"

static redisContext *dialled(void) {
    struct led_place moved = {.port = 0};
    char why[300] = "";
    redisContext *c = led_dial(&conf, &moved, 20000, why, sizeof why);
    ck_assert_msg(c != NULL, "%s", why);
    return c;
}

static redisReply *get(redisContext *c, const char *key) { return led_ask(c, 2, (const char *[]){"GET", key}, NULL); }

START_TEST(answers_have_a_bound) {
    redisContext *c = dialled();
    freeReplyObject(redis_do(&rds, "SETRANGE small %lu x", (unsigned long)(LED_ANSWER_MAX >> 1)));
    freeReplyObject(redis_do(&rds, "SETRANGE large %lu x", (unsigned long)LED_ANSWER_MAX + 1000));
    for (int i = 0; i < 3; i++) { /* each answer counts by itself */
        redisReply *r = get(c, "small");
        ck_assert(r != NULL && r->type == REDIS_REPLY_STRING && r->len == (LED_ANSWER_MAX >> 1) + 1);
        freeReplyObject(r);
    }
    ck_assert_ptr_null(get(c, "large"));
    ck_assert_int_eq(c->err, REDIS_ERR_OOM);
    ck_assert_ptr_nonnull(strstr(c->errstr, "larger than 64 MB"));
    redisFree(c);
    c = dialled();
    for (int i = 0; i < 100; i++)
        freeReplyObject(redis_do(&rds, "EVAL %s 0", "redis.call('XADD', 'many', '*', 'a', string.rep('x', 1000000))"));
    ck_assert_ptr_null(led_ask(c, 4, (const char *[]){"XRANGE", "many", "-", "+"}, NULL));
    ck_assert_int_eq(c->err, REDIS_ERR_OOM);
    redisFree(c);
}
END_TEST

/* Without the shipped key the ledger looks for its newest events in two streams to which somebody else has added what is too large: it says so, and goes on when that is away. */
START_TEST(the_ledger_says_so) {
    freeReplyObject(redis_do(&rds, "EVAL %s 0", "redis.call('XADD', 'gatehouse:sessions', '1-1', 'a', string.rep('x', 70000000))"));
    conf.timeout_ms = 20000;
    open_ledger();
    for (uint64_t end = ms() + 60000; led_healthy(led) || strstr(err, "larger than 64 MB") == NULL; nap(5)) {
        led_why(led, err, sizeof err);
        ck_assert_msg(ms() < end, "%s", err);
    }
    freeReplyObject(redis_do(&rds, "DEL gatehouse:sessions"));
    wait_healthy(true);
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ledger_dial");
    TCase *t = tcase_create("ledger_dial");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, answers_have_a_bound);
    tcase_add_test(t, the_ledger_says_so);
    suite_add_tcase(s, t);
    return run_suite(s);
}
