/* The ledger's MULTI, with a real Redis: what was answered LED_OK is there, everything once, in order, whatever failed in the middle. */
#include "t/spoa/ledger_fixture.h"

/* How often Redis ran a command, which no error in it counts for. */
static uint64_t calls(const char *command) {
    char name[64];
    redisReply *p = redis_do(&rds, "INFO commandstats");
    snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *at = strstr(p->str, name);
    uint64_t n = at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
    freeReplyObject(p);
    return n;
}

/* The same where MULTI does it, which goes on after an error: the shipped key says nothing of what it left. */
START_TEST(redis_says_no_in_multi) {
    conf.timeout_ms = 300;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    const char *wrong[] = {"SET gatehouse:audit:bad 1", "XADD gatehouse:audit:bad 9999999999999-0 a b", "CONFIG SET maxmemory 1"};
    const char *undo[] = {"DEL gatehouse:audit:bad", "DEL gatehouse:audit:bad", "CONFIG SET maxmemory 0"};
    for (uint64_t i = 0; i < 3; i++) {
        ck_assert_int_eq(append_wait("s", 5 * i + 2), LED_OK); /* so that the next one goes by MULTI */
        ck_assert(led_wait(led, 10000));
        uint64_t before = shipped("n1"), multi = calls("multi");
        redis_run(&rds, wrong[i]);
        kill(rds.pid, SIGSTOP); /* so that the rest is one transaction */
        append("s", 5 * i + 3, NULL);
        nap(50);
        append("s", 5 * i + 4, NULL);
        append("bad", i + 1, NULL);
        append("s", 5 * i + 5, NULL);
        nap(50);
        kill(rds.pid, SIGCONT);
        wait_healthy(false);
        nap(250); /* some retries */
        if (i < 2) ck_assert_uint_eq(shipped("n1"), before + 1);
        redis_run(&rds, undo[i]);
        wait_healthy(true);
        ck_assert_uint_gt(calls("multi"), multi);
        ck_assert_int_eq(append_wait("s", 5 * i + 6), LED_OK);
    }
    expect("gatehouse:audit:s", "statement", 1, 16);
    expect("gatehouse:audit:bad", "statement", 2, 3); /* the first one was removed by hand */
    close_ledger(5000);
    ck_assert_uint_eq(shipped("n1"), 19);
}
END_TEST

/* What the stopped server has in its socket is a MULTI, and comes behind what the next connection did. */
START_TEST(redis_hangs_in_multi) {
    conf.timeout_ms = 300;
    open_ledger();
    uint64_t n = 0;
    for (int round = 0; round < 5; round++) {
        ck_assert_int_eq(append_wait("s", ++n), LED_OK);
        ck_assert_int_eq(append_wait("s", ++n), LED_OK);
        ck_assert(led_wait(led, 10000)); /* else it may wait behind one that Redis has counted, and go by the script */
        uint64_t multi = calls("multi");
        kill(rds.pid, SIGSTOP);
        ck_assert_int_eq(append_wait("s", ++n), LED_UNAVAILABLE);
        for (int i = 0; i < 600; i++) append(i % 2 ? "s" : "t", i % 2 ? ++n : (uint64_t)(round * 300 + i / 2 + 1), NULL);
        wait_healthy(false);
        nap(round * 60);
        kill(rds.pid, SIGCONT);
        wait_healthy(true);
        ck_assert_uint_gt(calls("multi"), multi);
    }
    close_ledger(5000);
    expect("gatehouse:audit:s", "statement", 1, n);
    expect("gatehouse:audit:t", "statement", 1, 1500);
}
END_TEST

/* A daemon that was killed, or a connection that was cut, before the shipped key said what is there: it comes again, and nothing is there twice. */
START_TEST(shipped_key_is_behind) {
    open_ledger();
    fill("s", 1, 900);
    for (uint64_t back = 1; back < 900; back *= 3) {
        close_ledger(5000);
        redis_run(&rds, "SET gatehouse:shipped:n1 %llu", (unsigned long long)(shipped("n1") - back));
        open_ledger();
        ck_assert(led_wait(led, 10000));
    }
    ck_assert_int_eq(append_wait("s", 901), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 901);
    /* and while it runs: what acknowledged is not said to be lost, nor refused */
    for (uint64_t n = 902; n <= 960; n++) {
        ck_assert_int_eq(append_wait("s", n), LED_OK);
        if (n % 3 == 0) redis_run(&rds, "CLIENT KILL TYPE normal SKIPME yes");
    }
    expect("gatehouse:audit:s", "statement", 1, 960);
    close_ledger(5000);
    ck_assert_uint_eq(shipped("n1"), 960);
}
END_TEST

/* Somebody else counts under this node's name: nothing of a MULTI is done. */
START_TEST(shipped_key_is_another) {
    conf.timeout_ms = 300;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    ck_assert_int_eq(append_wait("s", 2), LED_OK);
    ck_assert(led_wait(led, 10000));
    uint64_t multi = calls("multi");
    redis_run(&rds, "SET gatehouse:shipped:n1 1000");
    ck_assert_int_eq(append_wait("s", 3), LED_UNAVAILABLE);
    expect("gatehouse:audit:s", "statement", 1, 2);
    ck_assert_uint_gt(calls("multi"), multi);
    redis_run(&rds, "SET gatehouse:shipped:n1 2");
    wait_healthy(true);
    ck_assert_int_eq(append_wait("s", 4), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 4);
}
END_TEST

/* The rights that doc/ledger.md gives. */
START_TEST(acl_user_with_multi) {
    redis_run(&rds, "ACL SETUSER gatehouse on >s3cret resetkeys ~gatehouse:audit:* ~gatehouse:approval:* ~gatehouse:sessions "
                    "~gatehouse:auth ~gatehouse:shipped:n1 resetchannels -@all +script|load +evalsha +get +set +xadd +xrange +xrevrange "
                    "+multi +exec +watch +unwatch");
    conf.redis_user = "gatehouse";
    conf.redis_password = "s3cret";
    open_ledger();
    for (uint64_t n = 1; n <= 20; n++) ck_assert_int_eq(append_wait(n % 5 ? "s" : NULL, n % 5 ? n - n / 5 : n / 5), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 16);
    expect("gatehouse:sessions", "statement", 1, 4);
    ck_assert_uint_gt(calls("exec"), 0);
}
END_TEST

/* The rights of before: the script does it all. */
START_TEST(acl_user_without_multi) {
    redis_run(&rds, "ACL SETUSER gatehouse on >s3cret resetkeys ~gatehouse:audit:* ~gatehouse:approval:* ~gatehouse:sessions "
                    "~gatehouse:auth ~gatehouse:shipped:n1 resetchannels -@all +script|load +evalsha +get +set +xadd +xrange +xrevrange");
    conf.redis_user = "gatehouse";
    conf.redis_password = "s3cret";
    open_ledger();
    for (uint64_t n = 1; n <= 20; n++) ck_assert_int_eq(append_wait("s", n), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 20);
    ck_assert_uint_eq(shipped("n1"), 20);
    ck_assert_uint_eq(calls("multi"), 0);
    redisReply *p = redis_do(&rds, "ACL LOG");
    ck_assert_uint_eq(p->elements, 0);
    freeReplyObject(p);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ledger_multi");
    TCase *t = tcase_create("ledger_multi");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, redis_says_no_in_multi);
    tcase_add_test(t, redis_hangs_in_multi);
    tcase_add_test(t, shipped_key_is_behind);
    tcase_add_test(t, shipped_key_is_another);
    tcase_add_test(t, acl_user_with_multi);
    tcase_add_test(t, acl_user_without_multi);
    suite_add_tcase(s, t);
    return run_suite(s);
}
