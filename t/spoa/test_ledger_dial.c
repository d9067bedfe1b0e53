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

/* Entries that ask for more and more care, among small ones: all the others are found, in their order. */
START_TEST(pages_step_over_what_is_large) {
    struct led_pages p = {.conf = &conf, .wait_ms = 20000, .most = 1000};
    redisContext *c = dialled();
    freeReplyObject(redis_do(&rds, "EVAL %s 0",
                             "for i = 1, 1300 do\n"
                             "  local v = string.rep('x', (i == 1 or i == 600 or i == 1300) and 70000000 or i == 700 and 2000 or i % 100)\n"
                             "  local f = {'a', v}\n"
                             "  for k = 1, i == 800 and 70 or 0 do f[#f + 1] = '' f[#f + 1] = '' end\n"
                             "  redis.call('XADD', 'mixed', i .. '-1', unpack(f))\n"
                             "end\n"));
    char from[40] = "-", why[300] = "";
    unsigned seen = 0, pages = 0, left_out = 0;
    for (size_t n = 1; n > 0; pages++) {
        redisReply *r = led_page(&c, &p, "mixed", from, why, sizeof why);
        ck_assert_msg(r != NULL && r->type == REDIS_REPLY_ARRAY, "%s", why);
        n = r->elements;
        ck_assert_uint_le(n, 500);
        for (size_t i = 0; i < n; i++) {
            bool large;
            const char *id = led_page_id(r->element[i], &large);
            ck_assert(id != NULL && (unsigned)atoi(id) == ++seen);
            ck_assert(large == (seen == 1 || seen == 600 || seen == 700 || seen == 800 || seen == 1300));
            const redisReply *fields = r->element[i]->element[1];
            ck_assert(large || (fields->elements == 2 && fields->element[1]->len == seen % 100));
            left_out += large;
            snprintf(from, sizeof from, "(%s", id);
        }
        freeReplyObject(r);
    }
    ck_assert(p.careful && seen == 1300 && left_out == 5 && pages > 5);
    /* The largest that are let through, one behind the other. */
    freeReplyObject(redis_do(&rds, "EVAL %s 0 %lu", "for i = 1, 3 do redis.call('XADD', 'full', '*', '', string.rep('x', ARGV[1])) end",
                             (unsigned long)LED_PAGE_MOST - 32));
    p = (struct led_pages){.conf = &conf, .wait_ms = 20000, .most = LED_PAGE_MOST};
    redisReply *r = led_page(&c, &p, "full", "-", why, sizeof why);
    ck_assert_msg(r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[1]->element[1]->elements == 2, "%s", why);
    ck_assert(p.careful);
    freeReplyObject(r);
    redis_run(&rds, "SET none 1");
    r = led_page(&c, &p, "none", "-", why, sizeof why); /* an error is one, and the connection goes on */
    ck_assert(r != NULL && r->type == REDIS_REPLY_ERROR && strstr(r->str, "WRONGTYPE") != NULL);
    freeReplyObject(r);
    signal(SIGPIPE, SIG_IGN);
    redis_kill(&rds);
    ck_assert_ptr_null(led_page(&c, &p, "full", "-", why, sizeof why));
    ck_assert_str_ne(why, "");
    if (c != NULL) redisFree(c);
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
    tcase_add_test(t, pages_step_over_what_is_large);
    tcase_add_test(t, the_ledger_says_so);
    suite_add_tcase(s, t);
    return run_suite(s);
}
