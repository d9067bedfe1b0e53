/* The ledger with a real Redis: what was answered LED_OK is there, everything once, in order, whatever died meanwhile. */
#include "t/spoa/ledger_fixture.h"

#include "spoa/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- what is written ---- */

START_TEST(an_entry) {
    open_ledger();
    struct led_field f[] = {{"user", "ann", 3, NULL}, {"sql", "SELECT 1", 8, NULL}};
    struct call c;
    sem_init(&c.sem, 0, 0);
    led_append(led, &(struct led_event){LED_SESSION, "s1", "login", f, 2, false}, on_done, &c);
    ck_assert_int_eq(wait_for(&c), LED_OK);
    ck_assert(led_healthy(led));
    redisReply *p = redis_do(&rds, "XRANGE gatehouse:audit:s1 - +");
    ck_assert_uint_eq(p->elements, 1);
    const redisReply *v = p->element[0]->element[1];
    const char *names[] = {"type", "seq", "node", "time", "prev", "user", "sql"},
               *values[] = {"login", "1",       "n1", NULL, "0000000000000000000000000000000000000000000000000000000000000000",
                            "ann",   "SELECT 1"};
    ck_assert_uint_eq(v->elements, 14);
    for (size_t i = 0; i < 7; i++) {
        ck_assert_str_eq(v->element[2 * i]->str, names[i]);
        if (values[i] != NULL) ck_assert_str_eq(v->element[2 * i + 1]->str, values[i]);
    }
    const char *t = v->element[7]->str; /* 2026-01-01T00:00:00.000Z */
    ck_assert(strlen(t) == 24 && t[10] == 'T' && t[19] == '.' && t[23] == 'Z');
    freeReplyObject(p);
    ck_assert_uint_eq(shipped("n1"), 1);
    led_why(led, err, sizeof err);
    ck_assert_str_eq(err, "");
}
END_TEST

START_TEST(binary_values) {
    open_ledger();
    struct led_field f[] = {
        {"a", "x\0y", 3, NULL}, {"b", "\xff\xfe", 2, NULL}, {"c", "\xc3\xa9 \"\\\n\x1b", 7, NULL}, {"d", NULL, 0, NULL}};
    for (int round = 0; round < 2; round++) {
        struct call c;
        sem_init(&c.sem, 0, 0);
        led_append(led, &(struct led_event){LED_SESSION, "bin", "statement", f, 4, false}, on_done, &c);
        ck_assert_int_eq(wait_for(&c), LED_OK);
    }
    /* and the same when it was read back from the journal */
    for (int round = 0; round < 2; round++) {
        redisReply *p = redis_do(&rds, "XRANGE gatehouse:audit:bin - +");
        ck_assert_uint_eq(p->elements, 2);
        for (size_t i = 0; i < 2; i++) {
            ck_assert_str_eq(field(p->element[i], "a.b64"), "eAB5");
            ck_assert_str_eq(field(p->element[i], "b.b64"), "//4=");
            ck_assert_str_eq(field(p->element[i], "c"), "\xc3\xa9 \"\\\n\x1b");
            ck_assert_str_eq(field(p->element[i], "d"), "");
            ck_assert_ptr_null(field(p->element[i], "a"));
        }
        freeReplyObject(p);
        close_ledger(1000);
        redis_run(&rds, "FLUSHALL");
        open_ledger();
        wait_shipped(2);
    }
}
END_TEST

START_TEST(large_and_too_large) {
    conf.timeout_ms = 20000; /* 18 MB for Redis to take */
    open_ledger();
    size_t len = 17 << 20;
    char *big = malloc(len);
    memset(big, 1, len); /* the control character is the worst case in JSON */
    struct led_field f = {"sql", big, 3 << 20, NULL};
    struct led_event ev = {LED_SESSION, "big", "statement", &f, 1, false};
    struct call c;
    sem_init(&c.sem, 0, 0);
    led_append(led, &ev, on_done, &c);
    ck_assert_int_eq(wait_for(&c), LED_OK);
    f.len = len;
    sem_init(&c.sem, 0, 0);
    led_append(led, &ev, on_done, &c);
    ck_assert_int_eq(wait_for(&c), LED_FAILED);
    memset(big, 0xff, len); /* as base64 it is larger than LEV_MAX_BYTES */
    f.len = 13 << 20;
    sem_init(&c.sem, 0, 0);
    led_append(led, &ev, on_done, &c);
    ck_assert_int_eq(wait_for(&c), LED_OK);
    free(big);
    ck_assert_int_eq(append_wait("big2", 1), LED_OK);
    redisReply *p = redis_do(&rds, "XLEN gatehouse:audit:big");
    ck_assert_int_eq(p->integer, 2);
    freeReplyObject(p);
}
END_TEST

START_TEST(auth_is_bounded) {
    conf.auth_max = 100;
    open_ledger();
    for (int i = 0; i < 2000; i++) led_append(led, &(struct led_event){.stream = LED_AUTH, .type = "refused"}, NULL, NULL);
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    redisReply *p = redis_do(&rds, "XLEN gatehouse:auth");
    ck_assert_int_ge(p->integer, 100);
    ck_assert_int_le(p->integer, 300); /* "~": whole nodes of the radix tree go */
    freeReplyObject(p);
}
END_TEST

static void *talk(void *arg) {
    const char *session = arg;
    for (uint64_t n = 1; n <= 2000; n++) append(session, n, NULL);
    return NULL;
}
START_TEST(order_over_threads) {
    char names[4][3] = {"t0", "t1", "t2", "t3"};
    pthread_t t[4];
    open_ledger();
    for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, talk, names[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    close_ledger(10000); /* drains */
    ck_assert_uint_eq(shipped("n1"), 8000);
    for (int i = 0; i < 4; i++) {
        char key[40];
        snprintf(key, sizeof key, "gatehouse:audit:%s", names[i]);
        expect(key, "statement", 1, 2000);
    }
}
END_TEST

START_TEST(two_nodes) {
    open_ledger();
    struct led *first = led;
    char dir2[120];
    snprintf(dir2, sizeof dir2, "%s2", dir);
    ck_assert_ptr_null(led_open(&conf, err, sizeof err)); /* the same folder */
    ck_assert_ptr_nonnull(strstr(err, "in use by another daemon"));
    conf.dir = dir2;
    conf.node = "n2";
    open_ledger();
    struct led *second = led;
    for (uint64_t n = 1; n <= 50; n++) {
        led = first;
        ck_assert_int_eq(append_wait(NULL, n), LED_OK);
        led = second;
        ck_assert_int_eq(append_wait("x", n), LED_OK);
    }
    led_close(first, 1000);
    expect("gatehouse:sessions", "statement", 1, 50);
    expect("gatehouse:audit:x", "statement", 1, 50);
    ck_assert(led_wait(led, 10000));
    ck_assert_uint_eq(shipped("n2"), 50);
}
END_TEST

START_TEST(bad_configuration) {
    const char *nodes[] = {"", "a b", "x\n", NULL, "0123456789012345678901234567890123456789012345678901234567890123x"};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        conf.node = nodes[i];
        ck_assert_ptr_null(led_open(&conf, err, sizeof err));
        ck_assert_ptr_nonnull(strstr(err, "node's name"));
    }
    conf.node = "n1";
    conf.redis_socket = NULL;
    ck_assert_ptr_null(led_open(&conf, err, sizeof err));
}
END_TEST

START_TEST(over_tcp_by_name) {
    redis_kill(&rds);
    int port = 20000 + getpid() % 20000;
    redis_start(&rds, port);
    const char *hosts[] = {"127.0.0.1", "localhost", "ip6-localhost.invalid"};
    conf.redis_socket = NULL;
    conf.redis_port = (uint16_t)port;
    for (uint64_t i = 0; i < 3; i++) {
        conf.redis_host = hosts[i];
        open_ledger();
        if (i < 2)
            ck_assert_int_eq(append_wait("tcp", i + 1), LED_OK);
        else {
            wait_healthy(false);
            led_why(led, err, sizeof err);
            ck_assert_ptr_nonnull(strstr(err, "cannot find Redis's host"));
        }
        close_ledger(100);
    }
    expect("gatehouse:audit:tcp", "statement", 1, 2);
}
END_TEST

/* ---- Redis fails ---- */

START_TEST(redis_restarts_empty) {
    open_ledger();
    fill("s", 1, 3000);
    for (uint64_t n = 1; n <= 20; n++) ck_assert_int_eq(append_wait(NULL, n), LED_OK);
    redis_kill(&rds);
    redis_start(&rds, 0);
    wait_shipped(3020);
    expect("gatehouse:audit:s", "statement", 1, 3000);
    expect("gatehouse:sessions", "statement", 1, 20);
    wait_healthy(true);
    ck_assert_int_eq(append_wait("s", 3001), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 3001);
}
END_TEST

START_TEST(redis_restarts_with_an_old_dump) {
    open_ledger();
    fill("s", 1, 700);
    ck_assert_int_eq(append_wait(NULL, 1), LED_OK);
    redis_run(&rds, "SAVE");
    fill("s", 701, 1500);
    ck_assert_int_eq(append_wait(NULL, 2), LED_OK);
    redis_kill(&rds);
    redis_start(&rds, 0);
    wait_shipped(1502);
    expect("gatehouse:audit:s", "statement", 1, 1500);
    expect("gatehouse:sessions", "statement", 1, 2);
}
END_TEST

/* The guard of a transaction: Redis is not as we left it, though the connection is. */
START_TEST(redis_is_emptied_behind_our_back) {
    open_ledger();
    fill("s", 1, 100);
    redis_run(&rds, "FLUSHALL");
    append("s", 101, NULL);
    wait_shipped(101);
    wait_healthy(true);
    ck_assert_int_eq(append_wait("s", 102), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 102);
}
END_TEST

START_TEST(shipped_key_is_lost) {
    open_ledger();
    for (uint64_t n = 1; n <= 30; n++) ck_assert_int_eq(append_wait(n % 2 ? "s" : NULL, (n + 1) / 2), LED_OK);
    close_ledger(1000);
    redis_run(&rds, "DEL gatehouse:shipped:n1");
    open_ledger();
    ck_assert_int_eq(append_wait("s", 16), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 16);
    expect("gatehouse:sessions", "statement", 1, 15);
    ck_assert(led_wait(led, 10000)); /* the key may say it a moment after the answer, when the other 30 were there already */
    ck_assert_uint_eq(shipped("n1"), 31);
}
END_TEST

START_TEST(journal_is_lost) {
    redis_run(&rds, "SET gatehouse:shipped:n1 1000");
    conf.timeout_ms = 300;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_UNAVAILABLE);
    wait_healthy(false);
    led_why(led, err, sizeof err);
    ck_assert_ptr_nonnull(strstr(err, "the journal was lost"));
    redis_run(&rds, "SET gatehouse:shipped:n1 0");
    wait_healthy(true);
}
END_TEST

START_TEST(redis_away_and_back) {
    conf.timeout_ms = 500;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    redis_kill(&rds);
    uint64_t start = ms(), refused = 0;
    while (led_healthy(led)) ck_assert(append_wait("x", ++refused) == LED_UNAVAILABLE && ms() - start < 3000);
    led_why(led, err, sizeof err);
    ck_assert_ptr_nonnull(strstr(err, "Redis is away"));
    start = ms();
    for (int i = 0; i < 100; i++) ck_assert_int_eq(append_wait("y", 1), LED_UNAVAILABLE);
    ck_assert_uint_lt(ms() - start, 400); /* at once, not after the timeout */
    append("s", 2, NULL);                 /* nobody waits: journalled, shipped later */
    redis_start(&rds, 0);
    wait_healthy(true);
    ck_assert_int_eq(append_wait("s", 3), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 3);
    redisReply *p = redis_do(&rds, "EXISTS gatehouse:audit:y");
    ck_assert_int_eq(p->integer, 0); /* refused appends did not fill the disk */
    freeReplyObject(p);
    p = redis_do(&rds, "XRANGE gatehouse:sessions - +");
    ck_assert_uint_eq(p->elements, 1);
    ck_assert_str_eq(field(p->element[0], "type"), "unavailable");
    ck_assert_uint_ge(strtoull(field(p->element[0], "refused"), NULL, 10), 100);
    freeReplyObject(p);
}
END_TEST

START_TEST(starts_without_redis) {
    redis_kill(&rds);
    open_ledger();
    append("s", 1, NULL);
    wait_healthy(false);
    ck_assert_int_eq(append_wait("s", 9), LED_UNAVAILABLE);
    redis_start(&rds, 0);
    wait_healthy(true);
    ck_assert_int_eq(append_wait("s", 2), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 2);
}
END_TEST

/* The transaction that the stopped server has in its socket is applied when it goes on, after we gave up on it and connected anew. */
START_TEST(redis_hangs) {
    conf.timeout_ms = 300;
    open_ledger();
    uint64_t n = 0, seen = 0;
    for (int round = 0; round < 5; round++) {
        ck_assert_int_eq(append_wait("s", ++n), LED_OK);
        kill(rds.pid, SIGSTOP);
        uint64_t start = ms();
        ck_assert_int_eq(append_wait(NULL, (uint64_t)round + 1), LED_UNAVAILABLE); /* an id that Redis chooses: twice would show */
        seen = ms() - start;
        ck_assert_uint_ge(seen, 250);
        ck_assert_uint_lt(seen, 2000);
        for (int i = 0; i < 600; i++) append("s", ++n, NULL);
        wait_healthy(false);
        nap(round * 60);
        kill(rds.pid, SIGCONT);
        wait_healthy(true);
    }
    close_ledger(5000);
    expect("gatehouse:audit:s", "statement", 1, n);
    expect("gatehouse:sessions", "statement", 1, 5);
}
END_TEST

START_TEST(connection_is_closed) {
    open_ledger();
    ck_assert_int_eq(append_wait(NULL, 0), LED_OK);
    for (uint64_t n = 1; n <= 20; n++) {
        redis_run(&rds, "CLIENT KILL TYPE normal SKIPME yes");
        ck_assert_int_eq(append_wait(NULL, n), LED_OK); /* a closed idle connection is no outage */
    }
    expect("gatehouse:sessions", "statement", 0, 20);
}
END_TEST

/* An error in the middle of a transaction: nothing of it may count as shipped, and nothing may be there twice afterwards. */
START_TEST(redis_says_no) {
    conf.timeout_ms = 300;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    const char *wrong[] = {"SET gatehouse:audit:bad 1", "XADD gatehouse:audit:bad 9999999999999-0 a b", "CONFIG SET maxmemory 1",
                           "SET gatehouse:auth 1"};
    const char *undo[] = {"DEL gatehouse:audit:bad", "DEL gatehouse:audit:bad", "CONFIG SET maxmemory 0", "DEL gatehouse:auth"};
    const char *say[] = {"WRONGTYPE", "GHORDER", "OOM", "WRONGTYPE"};
    for (uint64_t i = 0; i < 4; i++) {
        redis_run(&rds, wrong[i]);
        append("s", 3 * i + 2, NULL);
        append(NULL, i + 1, NULL);
        led_append(led, &(struct led_event){.stream = LED_AUTH, .type = "refused"}, NULL, NULL);
        append("bad", i, NULL);
        append("s", 3 * i + 3, NULL);
        wait_healthy(false);
        led_why(led, err, sizeof err);
        /* what goes alone with events of sessions goes by MULTI, and is refused by Redis itself before the script sees it */
        bool itself = i == 1 && strstr(err, "equal or smaller than the target stream top item") != NULL;
        ck_assert_msg(itself || strstr(err, say[i]) != NULL, "%s", err);
        nap(250); /* some retries */
        redis_run(&rds, undo[i]);
        wait_healthy(true);
        ck_assert_int_eq(append_wait("s", 3 * i + 4), LED_OK);
    }
    expect("gatehouse:audit:s", "statement", 1, 13);
    expect("gatehouse:sessions", "statement", 1, 4);
    redisReply *p = redis_do(&rds, "XLEN gatehouse:auth");
    ck_assert_int_eq(p->integer, 1); /* the last round emptied it */
    freeReplyObject(p);
}
END_TEST

/* The least rights, as doc/ledger.md gives them. */
START_TEST(acl_user) {
    redis_run(&rds, "ACL SETUSER gatehouse on >s3cret resetkeys ~gatehouse:audit:* ~gatehouse:approval:* ~gatehouse:sessions "
                    "~gatehouse:auth ~gatehouse:shipped:n1 "
                    "~gatehouse:shipped:n1/* resetchannels -@all +script|load +evalsha +get +set +xadd +xrange +xrevrange +time "
                    "+multi +exec +watch +unwatch");
    redis_run(&rds, "ACL SETUSER default resetpass >other");
    conf.redis_user = "gatehouse";
    conf.redis_password = "s3cret";
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    ck_assert_int_eq(append_wait(NULL, 1), LED_OK);
    led_append(led, &(struct led_event){.stream = LED_AUTH, .type = "refused"}, NULL, NULL);
    ck_assert_int_eq(append_wait("s", 2), LED_OK);
    close_ledger(1000);
    redis_run(&rds, "DEL gatehouse:shipped:n1"); /* the way that looks for what is there already */
    open_ledger();
    ck_assert_int_eq(append_wait("s", 3), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 3);
    close_ledger(1000);
    conf.slot = 1; /* while another daemon of this node drains */
    open_ledger();
    ck_assert_int_eq(append_wait("other", 1), LED_OK);
    close_ledger(1000);
    conf.slot = 0;
    redis_run(&rds, "ACL SETUSER gatehouse -xadd");
    conf.timeout_ms = 300;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 4), LED_UNAVAILABLE);
    wait_healthy(false);
    close_ledger(100);
    conf.redis_password = "wrong";
    open_ledger();
    wait_healthy(false);
    led_why(led, err, sizeof err);
    ck_assert_ptr_nonnull(strstr(err, "WRONGPASS"));
    ck_assert_ptr_null(strstr(err, "wrong"));
}
END_TEST

/* What is missing or in the way is found when the connection begins, before any event depends on it, and named with its remedy. */
static const struct {
    const char *setup, *undo, *why, *todo;
} hindrances[] = {
    {"ACL SETUSER gatehouse -set", NULL, "SET on gatehouse:shipped:n1", "doc/ledger.md"},
    {"ACL SETUSER gatehouse -xadd", NULL, "XADD on gatehouse:audit:", "doc/ledger.md"},
    {"ACL SETUSER gatehouse -xrange", NULL, "XRANGE on gatehouse:audit:", "doc/ledger.md"},
    {"ACL SETUSER gatehouse -xrevrange", NULL, "XREVRANGE on gatehouse:audit:", "doc/ledger.md"},
    {"ACL SETUSER gatehouse -evalsha", NULL, "evalsha", "doc/ledger.md"},
    {"ACL SETUSER gatehouse resetkeys ~gatehouse:audit:* ~gatehouse:approval:* ~gatehouse:sessions ~gatehouse:auth ~gatehouse:shipped:n2",
     NULL, "GET on gatehouse:shipped:n1", "this node's name"},
    {"ACL SETUSER gatehouse resetkeys ~gatehouse:audit:* ~gatehouse:approval:* ~gatehouse:sessions ~gatehouse:shipped:n1", NULL,
     "XADD on gatehouse:auth", "doc/ledger.md"},
    {"SET gatehouse:auth x", "DEL gatehouse:auth", "WRONGTYPE", "rename it"},
    {"LPUSH gatehouse:shipped:n1 x", "DEL gatehouse:shipped:n1", "WRONGTYPE", "rename it"},
    {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM ", "maxmemory"},
    {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY", "primary"},
};
START_TEST(hindrance) {
    redis_run(&rds, "ACL SETUSER gatehouse on >s3cret resetkeys ~gatehouse:audit:* ~gatehouse:approval:* ~gatehouse:sessions "
                    "~gatehouse:auth ~gatehouse:shipped:n1 "
                    "resetchannels -@all +script|load +evalsha +get +set +xadd +xrange +xrevrange");
    redis_run(&rds, hindrances[_i].setup);
    conf.redis_user = "gatehouse";
    conf.redis_password = "s3cret";
    open_ledger();
    wait_healthy(false);
    led_why(led, err, sizeof err);
    ck_assert_msg(strstr(err, hindrances[_i].why) != NULL, "%s: %s", hindrances[_i].setup, err);
    ck_assert_msg(strstr(led_todo(led), hindrances[_i].todo) != NULL, "%s: %s: do %s", hindrances[_i].setup, err, led_todo(led));
    if (hindrances[_i].undo == NULL) return;
    redis_run(&rds, hindrances[_i].undo);
    wait_healthy(true);
    ck_assert_str_eq(led_todo(led), "");
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
}
END_TEST

/* The numbers of /metrics: what waits for Redis, since when, and what was turned away. */
START_TEST(stats) {
    struct led_stats st;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    do led_stats(led, &st);
    while (st.unshipped != 0 || !st.redis_up);
    ck_assert_uint_eq(st.events, 1);
    ck_assert_uint_eq(st.oldest_ms, 0);
    ck_assert_uint_gt(st.journal_bytes, 0);
    kill(rds.pid, SIGSTOP); /* so that this one is taken, and cannot be shipped any more */
    led_append(led, &(struct led_event){.stream = LED_SESSIONS, .type = "x"}, NULL, NULL);
    redis_kill(&rds);
    wait_healthy(false);
    ck_assert_int_eq(append_wait("s", 2), LED_UNAVAILABLE);
    do led_stats(led, &st);
    while (st.refused == 0 || st.redis_up);
    ck_assert_uint_ge(st.unshipped, 1);
    ck_assert_uint_gt(st.unshipped_bytes, 0);
    ck_assert_uint_gt(st.oldest_ms, 1600000000000u);
    ck_assert_uint_eq(st.failed, 0);
    ck_assert_uint_eq(st.dropped, 0);
    led_why(led, err, sizeof err);
    ck_assert_msg(strstr(led_todo(led), "start Redis") != NULL, "%s: do %s", err, led_todo(led));
}
END_TEST

/* ---- journal mode ---- */

START_TEST(journal_mode) {
    conf.mode = LED_JOURNAL;
    conf.max_unshipped = 100000;
    redis_kill(&rds);
    open_ledger();
    uint64_t n = 0;
    while (n < 10000 && append_wait("s", n + 1) == LED_OK) n++;
    ck_assert_uint_gt(n, 300);
    ck_assert_uint_lt(n, 1000);
    ck_assert(!led_healthy(led));
    led_why(led, err, sizeof err);
    ck_assert_ptr_nonnull(strstr(err, "max_unshipped"));
    close_ledger(10);
    open_ledger(); /* the bound holds after a restart too */
    ck_assert_int_eq(append_wait("s", n + 1), LED_UNAVAILABLE);
    redis_start(&rds, 0);
    wait_healthy(true);
    ck_assert_int_eq(append_wait("s", n + 1), LED_OK);
    close_ledger(5000);
    expect("gatehouse:audit:s", "statement", 1, n + 1);
}
END_TEST

/* The thread may be awake, dozing, or fast asleep when an event comes that can wait: it goes all the same, in order, and alone if need be. */
START_TEST(what_can_wait_is_not_forgotten) {
    uint64_t n = 0;
    conf.mode = _i == 0 ? LED_STRICT : LED_JOURNAL;
    open_ledger();
    lazy = true;
    for (int round = 0; round < 100; round++) {
        if (round % 3 != 0) ck_assert_int_eq(append_wait("s", ++n), LED_OK);
        nap(round % 9);
        append("s", ++n, NULL);
        if (round % 4 == 0) append("s", ++n, NULL);
        ck_assert(led_wait(led, 10000)); /* not before the last one is there */
        ck_assert_uint_eq(shipped("n1"), n);
    }
    append("s", ++n, NULL);
    close_ledger(10000);
    expect("gatehouse:audit:s", "statement", 1, n);
}
END_TEST

START_TEST(journal_mode_does_not_wait_for_a_hanging_redis) {
    conf.mode = LED_JOURNAL;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    wait_shipped(1);
    kill(rds.pid, SIGSTOP);
    uint64_t start = ms();
    for (uint64_t n = 2; n <= 200; n++) ck_assert_int_eq(append_wait("s", n), LED_OK);
    ck_assert_uint_lt(ms() - start, 1500);
    kill(rds.pid, SIGCONT);
    close_ledger(10000);
    expect("gatehouse:audit:s", "statement", 1, 200);
}
END_TEST

static off_t journal_end(void) {
    char path[160];
    struct stat st;
    snprintf(path, sizeof path, "%s/journal-%016d.log", dir, 1);
    return stat(path, &st) < 0 ? 0 : st.st_size;
}

START_TEST(full_disk) {
    signal(SIGXFSZ, SIG_IGN);
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    struct rlimit old, tight;
    getrlimit(RLIMIT_FSIZE, &old);
    tight = (struct rlimit){(rlim_t)journal_end() + 20, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight); /* no assertion while it holds: Check writes to a file too */
    enum led_status a = append_wait("x", 1), b = append_wait("x", 2);
    bool healthy = led_healthy(led);
    led_why(led, err, sizeof err);
    setrlimit(RLIMIT_FSIZE, &old);
    ck_assert(a == LED_FAILED && b == LED_FAILED && !healthy);
    ck_assert_ptr_nonnull(strstr(err, "cannot write to the journal"));
    wait_healthy(true); /* by itself */
    ck_assert_int_eq(append_wait("s", 2), LED_OK);
    expect("gatehouse:audit:s", "statement", 1, 2);
    redisReply *p = redis_do(&rds, "XRANGE gatehouse:sessions - +");
    ck_assert_uint_eq(p->elements, 1);
    ck_assert_str_eq(field(p->element[0], "refused"), "2");
    freeReplyObject(p);
}
END_TEST

/* ---- the daemon dies ---- */

static int ok_fd;
static void note_ok(void *arg, enum led_status status) {
    uint64_t n = (uint64_t)(uintptr_t)arg;
    if (status == LED_OK && write(ok_fd, &n, sizeof n) < 0) _exit(1);
}

static void child(uint64_t from) {
    led = led_open(&conf, err, sizeof err);
    if (led == NULL) _exit(2);
    for (uint64_t n = from;; n++) {
        char text[24];
        struct led_field f = {"n", text, (size_t)snprintf(text, sizeof text, "%" PRIu64, n), NULL};
        led_append(led, &(struct led_event){LED_SESSION, "s", "statement", &f, 1, false}, note_ok, (void *)(uintptr_t)n);
        if (n % 16 == 0) nap(1);
    }
}

static void kill_rounds(enum led_mode mode) {
    conf.mode = mode;
    conf.segment_bytes = 20000;
    uint64_t next = 1, first_of_round, told = 0, want[21] = {0};
    unsigned seed = (unsigned)getpid();
    for (int round = 0; round < 20; round++) {
        int fds[2];
        ck_assert_int_eq(pipe(fds), 0);
        first_of_round = next;
        pid_t pid = fork();
        if (pid == 0) {
            ok_fd = fds[1];
            close(fds[0]);
            child(next);
        }
        close(fds[1]);
        /* every other one at any moment, however slow the machine; the others when something was answered */
        if (round % 2 == 1) (void)poll(&(struct pollfd){.fd = fds[0], .events = POLLIN}, 1, 20000);
        nap(5 + rand_r(&seed) % 60);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        uint64_t n, last = 0;
        while (read(fds[0], &n, sizeof n) == sizeof n) last = n;
        close(fds[0]);
        /* Reopened, everything that was answered is shipped; what was not may be there too, in order. */
        open_ledger();
        append(NULL, (uint64_t)round + 1, NULL);
        close_ledger(10000);
        redisReply *p = redis_do(&rds, "XREVRANGE gatehouse:audit:s + - COUNT 1");
        uint64_t top = p->elements == 0 ? 0 : strtoull(field(p->element[0], "n"), NULL, 10);
        freeReplyObject(p);
        ck_assert_uint_ge(top, last);
        if (top >= first_of_round) next = top + 1;
        if (last > 0) told++;
        want[round] = top;
    }
    ck_assert_uint_gt(told, 5); /* the rounds did something */
    ck_assert_uint_eq(want[19], next - 1);
    expect("gatehouse:audit:s", "statement", 1, next - 1);
    expect("gatehouse:sessions", "statement", 1, 20);
}
START_TEST(daemon_killed_strict) { kill_rounds(LED_STRICT); }
END_TEST
START_TEST(daemon_killed_journal) { kill_rounds(LED_JOURNAL); }
END_TEST

/* Two workers, each with a chain of events that wait for one another, and a thread that is no worker: all answered, in order, in one journal without a gap. */
#define CHAIN 400
struct chain_of_events {
    struct wmsg msg;
    struct worker *w;
    const char *session;
    uint64_t n; /* of the last one that was appended */
    enum led_status bad;
    sem_t end;
};

static void chain_answered(void *arg, enum led_status status) {
    struct chain_of_events *c = arg;
    if (status != LED_OK) c->bad = status;
    worker_post(c->w, &c->msg);
}

static void chain_on(struct worker *w, struct wmsg *m) {
    struct chain_of_events *c = (struct chain_of_events *)(void *)m;
    char text[24];
    (void)w;
    if (c->n == CHAIN || c->bad != LED_OK) {
        sem_post(&c->end);
        return;
    }
    struct led_field f = {"n", text, (size_t)snprintf(text, sizeof text, "%" PRIu64, ++c->n), NULL};
    led_append(led, &(struct led_event){LED_SESSION, c->session, "statement", &f, 1, false}, chain_answered, c);
    f = (struct led_field){"n", "0", 1, NULL};
    led_append(led, &(struct led_event){LED_SESSION, c->session, "result", &f, 1, true}, NULL, NULL);
}

static void workers_append(enum led_mode mode, bool fsync, bool hears) {
    static const char *const names[] = {"w0", "w1"};
    struct chain_of_events c[2];
    struct worker *w[2];
    conf.mode = mode;
    conf.fsync = fsync;
    open_ledger();
    ck_assert_int_eq(append_wait("m", 1), LED_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert(worker_start(&w[i], &(struct worker_conf){.stack = 1u << 20, .hears = hears}));
        c[i] = (struct chain_of_events){.msg.run = chain_on, .w = w[i], .session = names[i]};
        sem_init(&c[i].end, 0, 0);
        worker_post(w[i], &c[i].msg);
    }
    for (uint64_t n = 2; n <= 200; n++) ck_assert_int_eq(append_wait("m", n), LED_OK);
    for (int i = 0; i < 2; i++) {
        while (sem_wait(&c[i].end) < 0) continue;
        ck_assert_int_eq(c[i].bad, LED_OK);
        worker_stop(w[i]);
        worker_join(w[i]);
        worker_free(w[i]);
        sem_destroy(&c[i].end);
    }
    close_ledger(10000);
    expect("gatehouse:audit:w0", "statement", 1, CHAIN);
    expect("gatehouse:audit:w1", "statement", 1, CHAIN);
    expect("gatehouse:audit:m", "statement", 1, 200);
    ck_assert_uint_eq(shipped("n1"), 2 * 2 * CHAIN + 200);
}
START_TEST(workers_strict) { workers_append(LED_STRICT, false, false); }
END_TEST
START_TEST(workers_that_hear) { workers_append(LED_STRICT, false, true); }
END_TEST
START_TEST(workers_journal) { workers_append(LED_JOURNAL, false, true); }
END_TEST
START_TEST(workers_fsync) { workers_append(LED_JOURNAL, true, true); }
END_TEST

/* A worker sends to Redis and hangs before it hears the answer: the ledger's thread hears it. */
static sem_t hung, free_again;
static struct wmsg hang_next;
static struct call hanging;

static void hang_on(struct worker *w, struct wmsg *m) {
    (void)w;
    (void)m;
    sem_post(&hung);
    while (sem_wait(&free_again) < 0) continue;
}

static void send_and_hang(struct worker *w, struct wmsg *m) {
    (void)m;
    append("w", 1, &hanging);
    worker_post(w, &hang_next);
}

START_TEST(a_worker_that_hears_hangs) {
    struct wmsg m = {NULL, send_and_hang};
    open_ledger();
    ck_assert_int_eq(append_wait("m", 1), LED_OK);
    struct worker *w;
    ck_assert(worker_start(&w, &(struct worker_conf){.stack = 1u << 20, .hears = true}));
    sem_init(&hung, 0, 0);
    sem_init(&free_again, 0, 0);
    hang_next = (struct wmsg){NULL, hang_on};
    for (uint64_t n = 2; n <= 20; n++) {
        worker_post(w, &m);
        while (sem_wait(&hung) < 0) continue;
        ck_assert_int_eq(wait_for(&hanging), LED_OK);
        ck_assert_int_eq(append_wait("m", n), LED_OK);
        sem_post(&free_again);
    }
    worker_stop(w);
    worker_join(w);
    worker_free(w);
    close_ledger(10000);
    expect("gatehouse:audit:m", "statement", 1, 20);
}
END_TEST

START_TEST(closing_answers_everybody) {
    conf.timeout_ms = 60000;
    open_ledger();
    ck_assert_int_eq(append_wait("s", 1), LED_OK);
    kill(rds.pid, SIGSTOP);
    struct call c[50];
    for (uint64_t n = 0; n < 50; n++) append("s", n + 2, &c[n]);
    uint64_t start = ms();
    close_ledger(200);
    ck_assert_uint_lt(ms() - start, 2000);
    kill(rds.pid, SIGCONT);
    for (uint64_t n = 0; n < 50; n++) ck_assert_int_eq(wait_for(&c[n]), LED_UNAVAILABLE);
    open_ledger(); /* they are in the journal */
    wait_shipped(51);
    expect("gatehouse:audit:s", "statement", 1, 51);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ledger");
    TCase *t = tcase_create("ledger");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, an_entry);
    tcase_add_test(t, binary_values);
    tcase_add_test(t, large_and_too_large);
    tcase_add_test(t, auth_is_bounded);
    tcase_add_test(t, order_over_threads);
    tcase_add_test(t, two_nodes);
    tcase_add_test(t, bad_configuration);
    tcase_add_test(t, over_tcp_by_name);
    tcase_add_test(t, redis_restarts_empty);
    tcase_add_test(t, redis_restarts_with_an_old_dump);
    tcase_add_test(t, redis_is_emptied_behind_our_back);
    tcase_add_test(t, shipped_key_is_lost);
    tcase_add_test(t, journal_is_lost);
    tcase_add_test(t, redis_away_and_back);
    tcase_add_test(t, starts_without_redis);
    tcase_add_test(t, redis_hangs);
    tcase_add_test(t, connection_is_closed);
    tcase_add_test(t, redis_says_no);
    tcase_add_test(t, acl_user);
    tcase_add_loop_test(t, hindrance, 0, (int)(sizeof hindrances / sizeof *hindrances));
    tcase_add_test(t, stats);
    tcase_add_test(t, journal_mode);
    tcase_add_loop_test(t, what_can_wait_is_not_forgotten, 0, 2);
    tcase_add_test(t, journal_mode_does_not_wait_for_a_hanging_redis);
    tcase_add_test(t, full_disk);
    tcase_add_test(t, daemon_killed_strict);
    tcase_add_test(t, daemon_killed_journal);
    tcase_add_test(t, workers_strict);
    tcase_add_test(t, workers_that_hear);
    tcase_add_test(t, workers_journal);
    tcase_add_test(t, a_worker_that_hears_hangs);
    tcase_add_test(t, workers_fsync);
    tcase_add_test(t, closing_answers_everybody);
    suite_add_tcase(s, t);
    return run_suite(s);
}
