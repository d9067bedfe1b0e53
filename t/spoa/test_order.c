#include "spoa/log.h"
#include "spoa/order.h"
#include "spoa/person.h"
#include "t/lib/guard.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Orders: who is blocked stays blocked whatever is taken away, repeated or turned back; a grant ends on time, and for good. */

static char dirs[2][64];
static struct nodekey *keys[2];
static uint64_t clock_ms;
static uint64_t now(void) { return clock_ms; }
static const char *const nodes[] = {"n1", "n2"};

static void setup(void) {
    char err[300];
    clock_ms = 1800000000000u;
    log_init(LOG_ERROR);
    for (int i = 0; i < 2; i++) {
        strcpy(dirs[i], "/tmp/gh-order.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dirs[i]));
        keys[i] = nodekey_open(dirs[i], err, sizeof err);
        ck_assert_msg(keys[i] != NULL, "%s", err);
    }
}

static char *path_of(int i, const char *name) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", dirs[i], name);
    return path;
}

static void teardown(void) {
    static const char *const names[] = {"orders.log", "orders.lock", "orders.new", "node.key", "node.pub", NULL};
    for (int i = 0; i < 2; i++) {
        for (const char *const *n = names; *n != NULL; n++) unlink(path_of(i, *n));
        ck_assert_int_eq(rmdir(dirs[i]), 0);
        nodekey_free(keys[i]);
    }
}

static struct ord *open_store(int i) {
    char err[400] = "";
    struct ord *o = ord_open(&(struct ord_conf){.dir = dirs[i], .node = nodes[i], .key = keys[i], .now = now}, err, sizeof err);
    ck_assert_msg(o != NULL, "%s", err);
    return o;
}

static enum ord_rc block(struct ord *o, const char *what, const char *value, uint64_t for_ms) {
    char id[ORD_ID_SIZE], why[300] = "";
    clock_ms++;
    enum ord_rc rc = ord_block(o, &(struct ord_wish){what, value, "because", "root", for_ms}, id, why, sizeof why);
    ck_assert_str_ne(why, "");
    return rc;
}

static enum ord_rc unblock(struct ord *o, const char *what, const char *value) {
    char why[300] = "";
    clock_ms++;
    return ord_unblock(o, &(struct ord_wish){what, value, "", "root", 0}, why, sizeof why);
}

static bool principal(struct ord *o, const char *name) { return ord_blocked(o, &(struct ord_subject){.principal = name}, NULL); }
static bool address(struct ord *o, const char *src) { return ord_blocked(o, &(struct ord_subject){.src = src}, NULL); }

START_TEST(blocks) {
    struct ord *o = open_store(0);
    struct ord_block b;
    uint64_t epoch = ord_epoch(o);
    ck_assert(!principal(o, "agent@shop"));
    ck_assert_int_eq(block(o, "principal", "agent@shop", 0), ORD_DONE);
    ck_assert_uint_ne(ord_epoch(o), epoch);
    ck_assert(principal(o, "agent@shop"));
    ck_assert(principal(o, "AGENT@shop"));
    ck_assert(!principal(o, "agent@shop2"));
    ck_assert(ord_blocked(o, &(struct ord_subject){"agent@shop", "s", "10.0.0.1", "d"}, &b));
    ck_assert_str_eq(b.reason, "because");
    ck_assert_int_eq(b.what, ORD_PRINCIPAL);
    ck_assert_int_eq(block(o, "session", "s-1", 0), ORD_DONE);
    ck_assert_int_eq(block(o, "database", "shop", 0), ORD_DONE);
    ck_assert(ord_blocked(o, &(struct ord_subject){.session = "s-1"}, NULL));
    ck_assert(!ord_blocked(o, &(struct ord_subject){.session = "s-2"}, NULL));
    ck_assert(ord_blocked(o, &(struct ord_subject){.database = "shop"}, NULL));
    ck_assert(!ord_blocked(o, &(struct ord_subject){.database = "Shop"}, NULL));
    ck_assert_int_eq(unblock(o, "principal", "agent@shop2"), ORD_NOTHING);
    ck_assert_int_eq(unblock(o, "principal", "agent@shop"), ORD_DONE);
    ck_assert_int_eq(unblock(o, "principal", "agent@shop"), ORD_NOTHING);
    ck_assert(!principal(o, "agent@shop"));
    ck_assert_int_eq(block(o, "group", "x", 0), ORD_BAD);
    ck_assert_int_eq(block(o, "principal", "", 0), ORD_BAD);
    ck_assert_int_eq(block(o, "principal", "\xff", 0), ORD_BAD);
    ck_assert_int_eq(block(o, "address", "10.0.0", 0), ORD_BAD);
    ord_close(o);
    o = open_store(0);
    ck_assert(!principal(o, "agent@shop"));
    ck_assert(ord_blocked(o, &(struct ord_subject){.session = "s-1"}, NULL));
    ord_close(o);
}
END_TEST

START_TEST(addresses) {
    struct ord *o = open_store(0);
    ck_assert_int_eq(block(o, "address", "10.1.2.3", 0), ORD_DONE);
    ck_assert_int_eq(block(o, "address", "192.168.16.9/20", 0), ORD_DONE);
    ck_assert_int_eq(block(o, "address", "2001:db8::/33", 0), ORD_DONE);
    ck_assert(address(o, "10.1.2.3"));
    ck_assert(address(o, "::ffff:10.1.2.3"));
    ck_assert(!address(o, "10.1.2.4"));
    ck_assert(address(o, "192.168.31.255"));
    ck_assert(!address(o, "192.168.32.0"));
    ck_assert(address(o, "2001:db8:7fff::1"));
    ck_assert(!address(o, "2001:db8:8000::1"));
    ck_assert(!address(o, "unix"));
    ck_assert(!address(o, ""));
    ck_assert_int_eq(unblock(o, "address", "192.168.20.1/20"), ORD_DONE);
    ck_assert(!address(o, "192.168.31.255"));
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "::/129", "/8", "x", "10.0.0.0/8/8"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) ck_assert_int_eq(block(o, "address", bad[i], 0), ORD_BAD);
    ck_assert_int_eq(block(o, "address", "::/0", 0), ORD_DONE);
    ck_assert(address(o, "2001:db8:8000::1"));
    ck_assert(!address(o, "10.1.2.4"));
    ord_close(o);
}
END_TEST

START_TEST(until) {
    struct ord *o = open_store(0);
    ck_assert_int_eq(block(o, "principal", "a", 5000), ORD_DONE);
    clock_ms += 4999;
    ck_assert(principal(o, "a"));
    clock_ms += 1;
    ck_assert(!principal(o, "a"));
    ck_assert_int_eq(unblock(o, "principal", "a"), ORD_NOTHING);
    ord_close(o);
}
END_TEST

/* --- two nodes --- */

struct texts {
    size_t n;
    char *text[64], *signature[64];
};
static bool collect(void *arg, uint64_t seq, const struct ord_text *t) {
    struct texts *x = arg;
    (void)seq;
    ck_assert_uint_lt(x->n, 64);
    x->text[x->n] = strdup(t->text);
    x->signature[x->n++] = strdup(t->signature);
    return true;
}
static void texts_of(struct ord *o, struct texts *x) {
    *x = (struct texts){0};
    ord_own(o, collect, x);
}
static void texts_free(struct texts *x) {
    for (size_t i = 0; i < x->n; i++) {
        free(x->text[i]);
        free(x->signature[i]);
    }
}
static enum ord_taken take(struct ord *o, const struct texts *x, size_t i, int from) {
    return ord_take(o, &(struct ord_text){nodes[from], x->text[i], x->signature[i], strlen(x->text[i])}, nodekey_public(keys[from]));
}

/* Whatever comes twice, late, in another sequence, or not at all: what was lifted stays lifted, what was blocked since stays blocked. */
START_TEST(two_nodes) {
    struct ord *a = open_store(0), *b = open_store(1);
    struct ord_counts counts;
    struct texts one, two;
    ck_assert_int_eq(block(a, "principal", "x", 0), ORD_DONE);
    texts_of(a, &one);
    ck_assert_int_eq(take(b, &one, 0, 0), ORD_TAKEN);
    ck_assert(principal(b, "x"));
    ck_assert_int_eq(take(b, &one, 0, 0), ORD_KNOWN);
    ck_assert_int_eq(unblock(b, "principal", "x"), ORD_DONE);
    ck_assert(!principal(b, "x"));
    ck_assert_int_eq(take(b, &one, 0, 0), ORD_KNOWN); /* a replay blocks nobody again */
    ck_assert(!principal(b, "x"));
    texts_of(b, &two);
    ck_assert_int_eq(block(a, "principal", "x", 0), ORD_DONE); /* a second block, before a hears of the lifting */
    ck_assert_int_eq(take(a, &two, 0, 1), ORD_TAKEN);
    ck_assert(principal(a, "x")); /* which lifted the first alone */
    texts_free(&one);
    texts_of(a, &one);
    ck_assert_int_eq(take(b, &one, 1, 0), ORD_TAKEN);
    ck_assert(principal(b, "x"));
    ck_assert_int_eq(take(a, &two, 0, 1), ORD_KNOWN);
    ck_assert(principal(a, "x"));
    ord_count(b, &counts);
    ck_assert_uint_eq(counts.missing, 0);
    /* The lifting comes before the block. */
    ord_close(b);
    unlink(path_of(1, "orders.log"));
    b = open_store(1);
    texts_free(&one);
    ck_assert_int_eq(unblock(a, "principal", "x"), ORD_DONE);
    texts_of(a, &one);
    ck_assert_uint_eq(one.n, 3);
    ck_assert_int_eq(take(b, &one, 0, 0), ORD_TAKEN);
    ck_assert_int_eq(take(b, &one, 2, 0), ORD_TAKEN);
    ord_count(b, &counts);
    ck_assert_uint_eq(counts.missing, 1);
    ck_assert_int_eq(take(b, &one, 1, 0), ORD_TAKEN);
    ord_count(b, &counts);
    ck_assert_uint_eq(counts.missing, 0);
    ck_assert(principal(b, "x")); /* of the first block b's own lifting was lost with its file */
    ord_close(b);
    b = open_store(1);
    ck_assert(principal(b, "x"));
    texts_free(&one);
    texts_free(&two);
    ord_close(a);
    ord_close(b);
}
END_TEST

START_TEST(forged) {
    struct ord *a = open_store(0), *b = open_store(1);
    struct texts x;
    ck_assert_int_eq(block(a, "principal", "x", 0), ORD_DONE);
    texts_of(a, &x);
    struct ord_text t = {"n1", x.text[0], x.signature[0], strlen(x.text[0])};
    ck_assert_int_eq(ord_take(b, &t, NULL), ORD_STRANGER);
    ck_assert_int_eq(ord_take(b, &t, nodekey_public(keys[1])), ORD_FORGED);
    ck_assert_int_eq(ord_take(b, &t, "short"), ORD_FORGED);
    t.node = "n3"; /* under another node's name */
    ck_assert_int_eq(ord_take(b, &t, nodekey_public(keys[0])), ORD_FORGED);
    t.node = "n2"; /* as b's own */
    ck_assert_int_eq(ord_take(b, &t, nodekey_public(keys[0])), ORD_FORGED);
    t.node = "n1";
    for (size_t i = 0; i < t.text_len; i++) {
        x.text[0][i] ^= 1;
        ck_assert_int_eq(ord_take(b, &t, nodekey_public(keys[0])), ORD_FORGED);
        x.text[0][i] ^= 1;
    }
    ck_assert(!principal(b, "x"));
    /* signed, and nonsense */
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"node\":\"n1\"}",
        "\"x\"",
        "{\"node\":\"n1\",\"op\":\"block\",\"what\":\"principal\",\"value\":\"y\",\"by\":\"b\",\"reason\":\"r\",\"seq\":1,"
        "\"prev\":1,\"time\":1,\"until\":0}",
        "{\"node\":\"n1\",\"op\":\"block\",\"what\":\"address\",\"value\":\"y\",\"by\":\"b\",\"reason\":\"r\",\"seq\":2,"
        "\"prev\":1,\"time\":1,\"until\":0}",
        "{\"node\":\"n1\",\"op\":\"unblock\",\"what\":\"principal\",\"value\":\"y\",\"by\":\"b\",\"reason\":\"r\",\"seq\":2,"
        "\"prev\":1,\"time\":1,\"until\":0,\"lifts\":[1]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char signature[NODEKEY_SIGNATURE_SIZE];
        ck_assert(nodekey_sign(keys[0], texts[i], strlen(texts[i]), signature));
        ck_assert_int_eq(ord_take(b, &(struct ord_text){"n1", texts[i], signature, strlen(texts[i])}, nodekey_public(keys[0])), ORD_FORGED);
    }
    texts_free(&x);
    ord_close(a);
    ord_close(b);
}
END_TEST

/* --- the file --- */

static size_t slurp(char *text, size_t size) {
    FILE *f = fopen(path_of(0, "orders.log"), "r");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(text, 1, size - 1, f);
    text[n] = '\0';
    fclose(f);
    return n;
}
static void spew(const char *text, size_t n, bool in_place) {
    char other[220];
    snprintf(other, sizeof other, "%s.x", path_of(0, "orders.log"));
    FILE *f = fopen(in_place ? path_of(0, "orders.log") : other, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, n, f), n);
    fchmod(fileno(f), 0600);
    fclose(f);
    if (!in_place) ck_assert_int_eq(rename(other, path_of(0, "orders.log")), 0);
}

/* Lines that are taken out, or damaged, lift no block, neither while it runs nor, but for the line itself, afterwards. */
START_TEST(edited) {
    static char text[65536], cut[65536];
    struct ord *o = open_store(0);
    ck_assert_int_eq(block(o, "principal", "a", 0), ORD_DONE);
    ck_assert_int_eq(block(o, "principal", "b", 0), ORD_DONE);
    size_t n = slurp(text, sizeof text);
    const char *second = strchr(text, '\n') + 1;
    for (int how = 0; how < 4; how++) {
        if (how == 0)
            unlink(path_of(0, "orders.log"));
        else
            spew(how == 1 ? second : text, how == 1 ? strlen(second) : how == 2 ? (size_t)(second - text) : 0, how == 3);
        ord_sweep(o);
        ck_assert_msg(principal(o, "a") && principal(o, "b"), "%d", how);
        ck_assert_int_eq(block(o, "session", "s", 0), ORD_DONE);
        ord_sweep(o);
        n = slurp(cut, sizeof cut);
        ck_assert_ptr_nonnull(strstr(cut, "\\\"value\\\":\\\"a\\\""));
        ck_assert_ptr_nonnull(strstr(cut, "\\\"value\\\":\\\"b\\\""));
    }
    ord_close(o);
    o = open_store(0);
    ck_assert(principal(o, "a") && principal(o, "b"));
    ord_close(o);
    /* a line's first byte */
    memcpy(cut, text, strlen(text));
    cut[0] = cut[0] == '0' ? '1' : '0';
    spew(cut, strlen(text), true);
    o = open_store(0);
    ck_assert(!principal(o, "a") && principal(o, "b"));
    ord_close(o);
    ck_assert_uint_gt(n, 0);
}
END_TEST

/* A line that is no line: nothing of the file is cut, however often it is read. */
START_TEST(endless_line) {
    struct ord *o = open_store(0);
    struct stat before, after;
    ck_assert_int_eq(block(o, "principal", "agent", 0), ORD_DONE);
    size_t n = ((size_t)8 << 20) + 10;
    char *line = malloc(n);
    ck_assert_ptr_nonnull(line);
    memset(line, 'x', n);
    int fd = open(path_of(0, "orders.log"), O_WRONLY | O_APPEND);
    ck_assert_int_eq(write(fd, line, n), (ssize_t)n);
    ck_assert_int_eq(fstat(fd, &before), 0);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(block(o, "principal", "another", 0), ORD_FAILED);
    ck_assert_int_eq(fstat(fd, &after), 0);
    ck_assert_int_eq(after.st_size, before.st_size);
    ck_assert(principal(o, "agent"));
    ck_assert_int_eq(ftruncate(fd, before.st_size - (off_t)n), 0); /* as the log says to do */
    close(fd);
    free(line);
    ck_assert_int_eq(block(o, "principal", "another", 0), ORD_DONE);
    ord_close(o);
}
END_TEST

START_TEST(two_processes) {
    struct ord *o = open_store(0), *other = open_store(0);
    ck_assert_int_eq(block(o, "principal", "a", 0), ORD_DONE);
    ck_assert(!principal(other, "a"));
    ord_sweep(other);
    ck_assert(principal(other, "a"));
    ck_assert_int_eq(unblock(other, "principal", "a"), ORD_DONE);
    ord_sweep(o);
    ck_assert(!principal(o, "a"));
    ord_close(o);
    ord_close(other);
}
END_TEST

/* --- grants --- */

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static json_t *asks;

static bool grant(struct ord *o, enum pol_scope scope, const char *key, uint64_t ms, char id[ORD_ID_SIZE]) {
    char why[300];
    json_t *by = json_pack("[s]", "dba");
    clock_ms++;
    bool ok = ord_grant(o,
                        &(struct ord_grant){.request = "0123456789abcdef",
                                            .principal = "agent",
                                            .issuer = "https://i",
                                            .database = "shop",
                                            .scope = scope,
                                            .key = key,
                                            .asks = asks,
                                            .approvers = by,
                                            .sql = "SELECT 1",
                                            .until_ms = clock_ms + ms},
                        id, why, sizeof why);
    json_decref(by);
    return ok;
}

static bool granted(struct ord *o, const char *who, const char *issuer, const char *db, const char *fp, const char *kind,
                    const json_t *by) {
    struct ord_granted g;
    return ord_grant_find(o, &(struct ord_case){who, issuer, db, fp, kind, by}, &g);
}

START_TEST(grants) {
    struct ord *o = open_store(0);
    char id[ORD_ID_SIZE], why[300];
    asks = json_pack("[{s:s, s:[s], s:i}]", "rule", "r", "approvers", "dbas", "quorum", 1);
    json_t *other = json_pack("[{s:s, s:[s], s:i}]", "rule", "r", "approvers", "dbas", "quorum", 2);
    ck_assert(grant(o, POL_SCOPE_STATEMENT, KEY_A, 1000, id));
    ck_assert(granted(o, "agent", "https://i", "shop", KEY_A, KEY_B, asks));
    ck_assert(granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_B, KEY_A, asks));
    ck_assert(!granted(o, "Agent", "https://i", "shop", KEY_A, NULL, asks));
    ck_assert(!granted(o, "agent", "https://j", "shop", KEY_A, NULL, asks));
    ck_assert(!granted(o, "agent", "https://i", "shop2", KEY_A, NULL, asks));
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_A, NULL, other)); /* the rule says something else by now */
    clock_ms += 999;
    ck_assert(granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks) && ord_grant_counts(o, id));
    clock_ms += 1;
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks) && !ord_grant_counts(o, id));
    clock_ms -= 2000; /* a clock that goes back gives nothing that had not begun */
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    clock_ms += 10000;
    ck_assert(grant(o, POL_SCOPE_KIND, KEY_B, 100000, id));
    ck_assert(granted(o, "agent", "https://i", "shop", KEY_A, KEY_B, asks));
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    ck_assert_int_eq(ord_revoke(o, "n1:1", "", "root", why, sizeof why), ORD_NOTHING);
    ck_assert_int_eq(ord_revoke(o, "x", "", "root", why, sizeof why), ORD_NOTHING);
    ck_assert_int_eq(ord_revoke(o, id, "done", "root", why, sizeof why), ORD_DONE);
    ck_assert_int_eq(ord_revoke(o, id, "done", "root", why, sizeof why), ORD_NOTHING);
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_A, KEY_B, asks));
    ck_assert(grant(o, POL_SCOPE_RULE, "", 100000, id));
    ck_assert(granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    /* who approved it is blocked, and is not any more */
    ck_assert_int_eq(block(o, "principal", "DBA", 0), ORD_DONE);
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks) && !ord_grant_counts(o, id));
    ck_assert_int_eq(unblock(o, "principal", "dba"), ORD_DONE);
    ck_assert(granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    ord_close(o);
    o = open_store(0);
    ck_assert(granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    ord_close(o);
    json_decref(asks);
    json_decref(other);
}
END_TEST

/* The order that revoked a grant is taken out of the file, in each way: the grant is not alive again. */
START_TEST(revoked_for_good) {
    static char text[65536];
    char id[ORD_ID_SIZE], why[300];
    asks = json_pack("[{s:s, s:[s], s:i}]", "rule", "r", "approvers", "dbas", "quorum", 1);
    struct ord *o = open_store(0);
    struct texts own;
    ck_assert(grant(o, POL_SCOPE_RULE, "", 100000, id));
    clock_ms++;
    ck_assert_int_eq(ord_revoke(o, id, "", "root", why, sizeof why), ORD_DONE);
    ck_assert_int_eq(block(o, "principal", "x", 0), ORD_DONE);
    texts_of(o, &own);
    ord_close(o);
    size_t n = slurp(text, sizeof text);
    char *second = strchr(text, '\n') + 1, *third = strchr(second, '\n') + 1;
    char was = *second;
    *second = was == '0' ? '1' : '0'; /* damaged */
    spew(text, n, true);
    o = open_store(0);
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    ck_assert(principal(o, "x"));
    ord_close(o);
    *second = was;
    memmove(second, third, n - (size_t)(third - text)); /* taken out of the middle */
    spew(text, n - (size_t)(third - second), true);
    o = open_store(0);
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    ord_close(o);
    spew(text, (size_t)(second - text), true); /* all that follows: Redis knows it still */
    o = open_store(0);
    ck_assert(granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    for (size_t i = 0; i < own.n; i++) ck_assert_int_eq(take(o, &own, i, 0), i == 0 ? ORD_KNOWN : ORD_TAKEN);
    ck_assert(!granted(o, "agent", "https://i", "shop", KEY_A, NULL, asks));
    ck_assert(principal(o, "x"));
    ord_close(o);
    texts_free(&own);
    json_decref(asks);
}
END_TEST

/* What is over goes, after a week; what it was held against does not come back. */
START_TEST(forgetting) {
    struct ord *o = open_store(0);
    struct texts before, after;
    ck_assert_int_eq(block(o, "principal", "a", 0), ORD_DONE);
    ck_assert_int_eq(block(o, "principal", "b", 0), ORD_DONE);
    ck_assert_int_eq(unblock(o, "principal", "a"), ORD_DONE);
    texts_of(o, &before);
    clock_ms += 8ull * 24 * 3600 * 1000;
    ord_sweep(o);
    ord_sweep(o);
    texts_of(o, &after);
    ck_assert_uint_eq(before.n, 3);
    ck_assert_uint_eq(after.n, 1);
    ck_assert_int_eq(take(o, &before, 0, 0), ORD_KNOWN);
    ck_assert(!principal(o, "a") && principal(o, "b"));
    ord_close(o);
    texts_free(&before);
    texts_free(&after);
}
END_TEST

/* Lookers-on never wait for the disk and see either state, whole; for --enable-tsan, too. */
static struct ord *shared;
static _Atomic bool enough;

static void *look_on(void *arg) {
    struct ord_block b;
    size_t *hits = arg;
    while (!atomic_load(&enough)) {
        if (ord_blocked(shared, &(struct ord_subject){"agent", "s", "10.0.0.1", "shop"}, &b)) {
            ck_assert_str_eq(b.reason, "because");
            ++*hits;
        }
        json_decref(ord_list(shared, false, true));
        ord_grant_counts(shared, "n1:1");
        (void)ord_epoch(shared);
    }
    return NULL;
}

static void *sweep_up(void *arg) {
    (void)arg;
    while (!atomic_load(&enough)) ord_sweep(shared);
    return NULL;
}

START_TEST(threads) {
    pthread_t t[4];
    size_t hits[3] = {0};
    shared = open_store(0);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, look_on, &hits[i]), 0);
    ck_assert_int_eq(pthread_create(&t[3], NULL, sweep_up, NULL), 0);
    for (int i = 0; i < 40; i++) {
        char id[ORD_ID_SIZE], why[300];
        ck_assert_int_eq(ord_block(shared, &(struct ord_wish){"principal", "agent", "because", "root", 0}, id, why, sizeof why), ORD_DONE);
        ck_assert(principal(shared, "agent"));
        ck_assert_int_eq(ord_unblock(shared, &(struct ord_wish){"principal", "agent", "", "root", 0}, why, sizeof why), ORD_DONE);
        ck_assert(!principal(shared, "agent"));
    }
    atomic_store(&enough, true);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    ord_close(shared);
    ck_assert_uint_gt(hits[0] + hits[1] + hits[2], 0);
}
END_TEST

static const struct {
    const char *a, *b;
    bool same;
} persons[] = {{"agent@shop.example", "agent@shop.example", true},
               {"agent@shop.example", "Agent@SHOP.example", true},
               {"agent@shop.example", "agent2@shop.example", false},
               {"jos\xc3\xa9@x", "JOS\xc3\x89@x", true},
               {"jos\xc3\xa9@x", "jose\xcc\x81@x", true},
               {"jos\xc3\xa9@x", "jose@x", true},
               {"\xef\xbc\xa1gent@x", "agent@x", true},
               {"\xe2\x84\xaa"
                "elvin@x",
                "kelvin@x", true},
               {"stra\xc3\x9f"
                "e@x",
                "STRASSE@x", true},
               {"\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd@x", "\xd0\x98\xd0\x92\xd0\x90\xd0\x9d@x", true},
               {"\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd@x", "\xd0\xbf\xd1\x91\xd1\x82\xd1\x80@x", false},
               {"\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd@x", "????@x", false},
               {"\xcc\x81", "", true},
               {"\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x97\xa5", false}};

START_TEST(person) {
    ck_assert_int_eq(person_same(persons[_i].a, persons[_i].b), persons[_i].same);
    ck_assert_int_eq(person_same(persons[_i].b, persons[_i].a), persons[_i].same);
}
END_TEST

int main(void) {
    Suite *s = suite_create("order");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, blocks);
    tcase_add_test(tc, addresses);
    tcase_add_test(tc, until);
    tcase_add_test(tc, two_nodes);
    tcase_add_test(tc, forged);
    tcase_add_test(tc, edited);
    tcase_add_test(tc, endless_line);
    tcase_add_test(tc, two_processes);
    tcase_add_test(tc, grants);
    tcase_add_test(tc, revoked_for_good);
    tcase_add_test(tc, forgetting);
    tcase_add_test(tc, threads);
    tcase_add_loop_test(tc, person, 0, (int)(sizeof persons / sizeof *persons));
    suite_add_tcase(s, tc);
    return run_suite(s);
}
