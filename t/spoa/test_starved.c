/* Approvals and orders without memory: with each allocation failing in turn, a store is opened, reads on and writes. What it cannot read it does not do without: it
 * refuses, and knows all of it once there is memory again. */
#include "spoa/approval.h"
#include "spoa/log.h"
#include "spoa/starved.h"
#include "t/lib/guard.h"
#include "t/lib/nomem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* jansson 2.14 fails an assertion of its own where a number's buffer could not grow, as t/fuzz/sweep.c says: its reading counts as one allocation. */
json_t *__real_json_loadb(const char *text, size_t len, size_t flags, json_error_t *e);
json_t *__wrap_json_loadb(const char *text, size_t len, size_t flags, json_error_t *e);
json_t *__wrap_json_loadb(const char *text, size_t len, size_t flags, json_error_t *e) {
    bool fails = nomem_fails();
    if (fails) starved_note();
    nomem_pause();
    json_t *v = fails ? NULL : __real_json_loadb(text, len, flags, e);
    nomem_resume();
    return v;
}

#define ROUNDS 40u /* of a test, spread over its allocations: each waits for the disk, many times. GH_SWEEP=all takes every one */

static struct {
    uint64_t n, step; /* the allocation that fails; 0: none, they are counted */
    bool begun, failed;
} at;

static bool again(void) {
    if (at.begun && at.n > 0 && !at.failed) return false;
    at.n = at.begun ? at.n + at.step : 0;
    at.begun = true;
    return true;
}

static void arm(bool more) { nomem_arm(at.n, more); }

static void disarm(void) {
    const char *env = getenv("GH_SWEEP");
    uint64_t total = nomem_disarm();
    at.failed = nomem_hit();
    if (at.n == 0) at.step = env != NULL && strcmp(env, "all") == 0 ? 1 : total / ROUNDS + 1;
}

static char dir[64];
static uint64_t clock_ms;
static uint64_t now(void) { return clock_ms; }

static char *path_of(const char *name) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void setup(void) {
    strcpy(dir, "/tmp/gh-starved.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    clock_ms = 1800000000000u;
    at.begun = false;
    ck_assert(dup2(open("/dev/null", O_WRONLY), STDERR_FILENO) >= 0); /* it complains each time */
    log_init(LOG_ERROR);
}

static void teardown(void) {
    static const char *const names[] = {"approvals.log", "approvals.lock", "orders.log", "orders.lock", "node.key", "node.pub", NULL};
    for (const char *const *n = names; *n != NULL; n++) unlink(path_of(*n));
    ck_assert_int_eq(rmdir(dir), 0); /* nothing was set aside as damaged */
}

/* --- approvals --- */

#define FP(c)                                                                                                                              \
    ((const char[]){c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c,   c,                   \
                    c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, '\0'})

static struct appr *try_open(char *err, size_t size) {
    return appr_open(&(struct appr_conf){.dir = dir, .node = "n1", .now = now}, err, size);
}

static struct appr *open_store(void) {
    char err[400] = "";
    struct appr *a = try_open(err, sizeof err);
    ck_assert_msg(a != NULL, "%s", err);
    return a;
}

static enum appr_rc ask(struct appr *a, char fp, struct appr_reply *r) {
    struct appr_reply mine;
    json_t *asks = NULL, *detail = NULL;
    nomem_pause();
    asks = json_pack("[{s:s, s:[s], s:i}]", "rule", "r", "approvers", "dbas", "quorum", fp == 'c' ? 2 : 1);
    detail = json_pack("{s:s, s:s, s:s, s:s, s:s}", "principal", "agent", "database", "shop", "sql", "DELETE FROM orders", "sha256",
                       FP('a'), "session", "s-1");
    nomem_resume();
    struct appr_question q = {.fingerprint = FP(fp),
                              .kind = FP('e'),
                              .principal = "agent",
                              .asks = asks,
                              .detail = detail,
                              .expires_ms = 60000,
                              .window_ms = 30000,
                              .max = 100,
                              .max_principal = 100};
    appr_ask(a, &q, r != NULL ? r : &mine);
    json_decref(asks);
    return r != NULL ? r->rc : mine.rc;
}

static enum appr_decided decide(struct appr *a, const char *id, const char *who, bool approve) {
    char name[64], *groups[] = {(char[]){"dbas"}}, why[300] = "";
    snprintf(name, sizeof name, "%s", who);
    struct jwt_identity identity = {.principal = name, .groups = groups, .ngroups = 1, .issuer = (char[]){"https://i"}};
    json_t *shown;
    enum appr_decided rc =
        appr_decide(a, &(struct appr_decision){id, approve, &identity, NULL, 0, POL_SCOPE_STATEMENT}, &shown, why, sizeof why);
    json_decref(shown);
    return rc;
}

/* a: used. b: denied. c: agreed to by one of two, whose name is not ASCII. d: approved. */
static void write_approvals(void) {
    struct appr *a = open_store();
    struct appr_reply r;
    for (char fp = 'a'; fp <= 'd'; fp++) {
        ck_assert_int_eq(ask(a, fp, &r), APPR_NEW);
        ck_assert_int_eq(decide(a, r.id, "dba-\xc3\xbc", fp != 'b'), APPR_TAKEN);
    }
    ck_assert_int_eq(ask(a, 'a', &r), APPR_RUN);
    appr_close(a);
}

static void check_approvals(struct appr *a) {
    struct appr_counts n;
    struct appr_reply r;
    appr_count(a, &n);
    ck_assert_uint_eq(n.pending, 1);
    ck_assert_uint_eq(n.approved, 1);
    ck_assert_int_eq(ask(a, 'b', &r), APPR_DENIED);
    ck_assert_int_eq(ask(a, 'c', &r), APPR_PENDING);
    ck_assert_uint_eq(r.have, 1);
}

START_TEST(approvals_opened) {
    char err[400];
    unsigned refused = 0;
    write_approvals();
    while (again()) {
        arm(_i == 1);
        struct appr *a = try_open(err, sizeof err);
        disarm();
        if (a == NULL) {
            ck_assert_msg(strstr(err, "memory") != NULL || strstr(err, "made") != NULL || strstr(err, "written") != NULL, "%s", err);
            refused++;
            continue;
        }
        check_approvals(a);
        appr_close(a);
    }
    ck_assert_uint_gt(refused, 0);
}
END_TEST

/* Another daemon of this node uses one up while this one has no memory to hear of it. */
START_TEST(approvals_read_on) {
    unsigned refused = 0;
    while (again()) {
        struct appr_reply r;
        struct appr *a = open_store();
        ck_assert_int_eq(ask(a, 'a', &r), APPR_NEW);
        ck_assert_int_eq(decide(a, r.id, "dba", true), APPR_TAKEN);
        struct appr *other = open_store();
        ck_assert_int_eq(ask(other, 'a', &r), APPR_RUN);
        arm(_i == 1);
        enum appr_rc rc = ask(a, 'a', &r);
        disarm();
        ck_assert_msg(rc == APPR_FAILED || rc == APPR_NEW, "allocation %u: %d", (unsigned)at.n, rc);
        refused += rc == APPR_FAILED;
        rc = ask(a, 'a', &r);
        ck_assert(rc == APPR_NEW || rc == APPR_PENDING);
        ck_assert_int_eq(ask(other, 'a', &r), APPR_PENDING);
        ck_assert_int_eq(decide(other, r.id, "dba", false), APPR_TAKEN);
        appr_close(other);
        appr_close(a);
        clock_ms += 100000;
    }
    ck_assert_uint_gt(refused, 0);
}
END_TEST

/* One approval, asked for without memory, and then with: it runs once at most, and once is recorded. */
START_TEST(used_once) {
    while (again()) {
        struct appr_reply r;
        unsigned runs = 0;
        struct appr *a = open_store();
        ck_assert_int_eq(ask(a, 'a', &r), APPR_NEW);
        ck_assert_int_eq(decide(a, r.id, "dba", true), APPR_TAKEN);
        arm(_i == 1);
        runs += ask(a, 'a', &r) == APPR_RUN;
        disarm();
        struct appr *other = open_store();
        struct appr *first = _i == 1 ? other : a, *second = _i == 1 ? a : other;
        runs += ask(first, 'a', &r) == APPR_RUN;
        runs += ask(second, 'a', &r) == APPR_RUN;
        ck_assert_uint_le(runs, 1);
        ck_assert_int_eq(ask(a, 'a', &r), APPR_PENDING);
        ck_assert_int_eq(decide(a, r.id, "dba", false), APPR_TAKEN);
        appr_close(other);
        appr_close(a);
        clock_ms += 100000;
    }
}
END_TEST

/* A denial that takes back an approval: what is on disk counts in the store that wrote it, too. */
START_TEST(denied) {
    while (again()) {
        struct appr_reply r;
        struct appr *a = open_store();
        ck_assert_int_eq(ask(a, 'a', &r), APPR_NEW);
        ck_assert_int_eq(decide(a, r.id, "dba", true), APPR_TAKEN);
        arm(_i == 1);
        enum appr_decided rc = decide(a, r.id, "dba", false);
        disarm();
        struct appr *other = open_store();
        struct appr_counts here, there;
        appr_sweep(a);
        appr_count(a, &here);
        appr_count(other, &there);
        ck_assert_uint_eq(here.approved, there.approved);
        if (rc == APPR_TAKEN) ck_assert_uint_eq(here.approved, 0);
        ck_assert_int_eq(ask(a, 'a', &r), here.approved == 0 ? APPR_DENIED : APPR_RUN);
        appr_close(other);
        appr_close(a);
        clock_ms += 100000;
    }
}
END_TEST

/* Whoever is to decide sees all of it or nothing. */
START_TEST(shown) {
    write_approvals();
    struct appr *a = open_store();
    struct appr_reply r;
    bool more;
    ck_assert_int_eq(ask(a, 'c', &r), APPR_PENDING);
    json_t *whole = appr_show(a, r.id, NULL, NULL), *all = appr_list(a, &(struct appr_view){.after = "", .max = 10}, &more);
    while (again()) {
        arm(_i == 1);
        json_t *one = appr_show(a, r.id, NULL, NULL), *list = appr_list(a, &(struct appr_view){.after = "", .max = 10}, &more);
        disarm();
        ck_assert(one == NULL || json_equal(one, whole));
        ck_assert(list == NULL || json_equal(list, all));
        ck_assert(at.failed || (one != NULL && list != NULL));
        json_decref(one);
        json_decref(list);
    }
    json_decref(whole);
    json_decref(all);
    appr_close(a);
}
END_TEST

/* --- orders --- */

static struct nodekey *key;

static struct ord *try_orders(char *err, size_t size) {
    return ord_open(&(struct ord_conf){.dir = dir, .node = "n1", .key = key, .now = now}, err, size);
}

static struct ord *open_orders(void) {
    char err[400] = "";
    if (key == NULL) key = nodekey_open(dir, err, sizeof err);
    struct ord *o = key == NULL ? NULL : try_orders(err, sizeof err);
    ck_assert_msg(o != NULL, "%s", err);
    return o;
}

static void close_key(void) {
    nodekey_free(key);
    key = NULL;
    teardown();
}

static enum ord_rc block(struct ord *o, const char *who) {
    char id[ORD_ID_SIZE], why[300];
    clock_ms++;
    return ord_block(o, &(struct ord_wish){"principal", who, "because", "root", 0}, id, why, sizeof why);
}

static enum ord_rc unblock(struct ord *o, const char *who) {
    char why[300];
    clock_ms++;
    return ord_unblock(o, &(struct ord_wish){"principal", who, "", "root", 0}, why, sizeof why);
}

static bool grant(struct ord *o, char id[ORD_ID_SIZE]) {
    char why[300];
    json_t *asks = json_pack("[{s:s}]", "rule", "r"), *by = json_pack("[s]", "dba");
    clock_ms++;
    bool ok = ord_grant(
        o,
        &(struct ord_grant){"0123456789abcdef", "agent", "https://i", "shop", POL_SCOPE_RULE, "", asks, by, "SELECT 1", clock_ms + 3600000},
        id, why, sizeof why);
    json_decref(asks);
    json_decref(by);
    return ok;
}

static bool blocked(struct ord *o, const char *who) { return ord_blocked(o, &(struct ord_subject){.principal = who}, NULL); }

static char grants[2][ORD_ID_SIZE]; /* one that counts, and one that was revoked */

static void write_orders(void) {
    char why[300];
    struct ord *o = open_orders();
    ck_assert_int_eq(block(o, "agent"), ORD_DONE);
    ck_assert_int_eq(block(o, "m\xc3\xbcller"), ORD_DONE);
    ck_assert_int_eq(block(o, "lifted"), ORD_DONE);
    ck_assert_int_eq(unblock(o, "lifted"), ORD_DONE);
    for (size_t i = 0; i < 2; i++) ck_assert(grant(o, grants[i]));
    clock_ms++;
    ck_assert_int_eq(ord_revoke(o, grants[1], "", "root", why, sizeof why), ORD_DONE);
    ord_close(o);
}

static void check_orders(struct ord *o) {
    ck_assert(blocked(o, "agent"));
    ck_assert(blocked(o, "M\xc3\x9cLLER"));
    ck_assert(!blocked(o, "lifted"));
    ck_assert(ord_grant_counts(o, grants[0]));
    ck_assert(!ord_grant_counts(o, grants[1]));
}

START_TEST(orders_opened) {
    char err[400];
    unsigned refused = 0;
    write_orders();
    while (again()) {
        arm(_i == 1);
        struct ord *o = try_orders(err, sizeof err);
        disarm();
        if (o == NULL) {
            ck_assert_ptr_nonnull(strstr(err, "memory"));
            refused++;
            continue;
        }
        check_orders(o);
        ord_close(o);
    }
    ck_assert_uint_gt(refused, 0);
}
END_TEST

START_TEST(orders_read_on) {
    write_orders();
    while (again()) {
        char name[40], id[ORD_ID_SIZE], why[300];
        snprintf(name, sizeof name, "agent-%u", (unsigned)at.n);
        struct ord *o = open_orders(), *other = open_orders();
        ck_assert_int_eq(block(other, name), ORD_DONE);
        ck_assert(grant(other, id));
        clock_ms++;
        ck_assert_int_eq(ord_revoke(other, id, "", "root", why, sizeof why), ORD_DONE);
        arm(_i == 1);
        ord_sweep(o);
        disarm();
        check_orders(o);
        ord_sweep(o);
        check_orders(o);
        ck_assert(blocked(o, name));
        ck_assert(!ord_grant_counts(o, id));
        ck_assert_int_eq(unblock(other, name), ORD_DONE);
        ord_close(other);
        ord_close(o);
    }
}
END_TEST

/* Who is told that somebody is blocked can rely on it; and of what is on disk the store that wrote it knows. */
START_TEST(orders_made) {
    write_orders();
    while (again()) {
        char name[40];
        snprintf(name, sizeof name, "agent-%u", (unsigned)at.n);
        struct ord *o = open_orders();
        arm(_i == 1);
        enum ord_rc rc = block(o, name);
        disarm();
        if (rc == ORD_DONE) ck_assert(blocked(o, name));
        ord_sweep(o);
        struct ord *other = open_orders();
        ck_assert_int_eq(blocked(o, name), blocked(other, name));
        check_orders(o);
        check_orders(other);
        nomem_arm(1 + at.n % 50, _i == 1); /* and nobody else is let go */
        unblock(o, "a\xc3\xa4");
        nomem_disarm();
        check_orders(o);
        ord_close(other);
        ord_close(o);
    }
}
END_TEST

START_TEST(orders_taken) { /* from Redis, of another node */
    struct ord *o = open_orders();
    while (again()) {
        char err[400], text[400], signature[NODEKEY_SIGNATURE_SIZE], name[40];
        snprintf(name, sizeof name, "far-%u", (unsigned)at.n);
        clock_ms++;
        snprintf(
            text, sizeof text,
            "{\"by\":\"root\",\"node\":\"n2\",\"op\":\"block\",\"prev\":0,\"reason\":\"r\",\"seq\":%llu,\"time\":%llu,\"until\":0,\"v\":1,"
            "\"value\":\"%s\",\"what\":\"principal\"}",
            (unsigned long long)clock_ms, (unsigned long long)clock_ms, name);
        ck_assert(nodekey_sign(key, text, strlen(text), signature));
        const struct ord_text t = {"n2", text, signature, strlen(text)};
        arm(_i == 1);
        enum ord_taken rc = ord_take(o, &t, nodekey_public(key));
        disarm();
        ck_assert(rc == ORD_TAKEN || rc == ORD_NOT_NOW);
        if (rc == ORD_NOT_NOW) rc = ord_take(o, &t, nodekey_public(key));
        ck_assert(rc == ORD_TAKEN || rc == ORD_KNOWN);
        ck_assert(blocked(o, name));
        struct ord *other = try_orders(err, sizeof err);
        ck_assert(other != NULL && blocked(other, name));
        ord_close(other);
    }
    ord_close(o);
}
END_TEST

START_TEST(seen) { ck_assert(starved_sees_openssl()); }
END_TEST

int main(void) {
    Suite *s = suite_create("starved");
    TCase *a = tcase_create("approvals"), *o = tcase_create("orders");
    tcase_add_checked_fixture(a, setup, teardown);
    tcase_add_test(a, seen);
    tcase_add_loop_test(a, approvals_opened, 0, 2);
    tcase_add_loop_test(a, approvals_read_on, 0, 2);
    tcase_add_loop_test(a, used_once, 0, 2);
    tcase_add_loop_test(a, denied, 0, 2);
    tcase_add_loop_test(a, shown, 0, 2);
    tcase_add_checked_fixture(o, setup, close_key);
    tcase_add_loop_test(o, orders_opened, 0, 2);
    tcase_add_loop_test(o, orders_read_on, 0, 2);
    tcase_add_loop_test(o, orders_made, 0, 2);
    tcase_add_loop_test(o, orders_taken, 0, 2);
    suite_add_tcase(s, a);
    suite_add_tcase(s, o);
    return run_suite(s);
}
