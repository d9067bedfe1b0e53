#include "spoa/approval.h"
#include "spoa/approval_log.h"
#include "spoa/log.h"
#include "spoa/visible.h"
#include "t/lib/guard.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The store: one approval is used once, by whichever process, after whichever death; what was written by another hand grants nothing. */

static char dir[] = "/tmp/gh-approval.XXXXXX";
static uint64_t clock_ms;
static uint64_t now(void) { return clock_ms; }

static void setup(void) {
    strcpy(dir, "/tmp/gh-approval.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    clock_ms = 1800000000000u;
    log_init(LOG_ERROR);
}

static void teardown(void) {
    static const char *const names[] = {
        "approvals.log", "approvals.lock", "approvals.new", "approvals.damaged", "node.key", "node.pub", NULL};
    char path[200];
    for (const char *const *n = names; *n != NULL; n++) {
        snprintf(path, sizeof path, "%s/%s", dir, *n);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}

static struct appr *open_store(void) {
    char err[400] = "";
    struct appr *a = appr_open(&(struct appr_conf){.dir = dir, .node = "n1", .now = now}, err, sizeof err);
    ck_assert_msg(a != NULL, "%s", err);
    return a;
}

#define FP_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FP_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static json_t *asks(const char *rule, const char *group, int quorum) {
    return json_pack("[{s:s, s:[s], s:i}]", "rule", rule, "approvers", group, "quorum", quorum);
}

static enum appr_rc ask_as(struct appr *a, const char *principal, const char *fp, const json_t *by, struct appr_reply *r) {
    struct appr_question q = {.fingerprint = fp,
                              .principal = principal,
                              .asks = by,
                              .detail = json_pack("{s:s, s:s, s:s, s:s, s:s}", "principal", principal, "database", "shop", "sql",
                                                  "UPDATE orders SET total = 0 WHERE id = 1", "sha256", FP_A, "session", "s-1"),
                              .expires_ms = 60000,
                              .window_ms = 30000,
                              .max = 100,
                              .max_principal = 3};
    appr_ask(a, &q, r);
    return r->rc;
}

static enum appr_rc ask(struct appr *a, const char *fp, struct appr_reply *r) {
    json_t *by = asks("r", "dbas", 1);
    enum appr_rc rc = ask_as(a, "agent", fp, by, r);
    json_decref(by);
    return rc;
}

static enum appr_decided decide(struct appr *a, const char *id, const char *who, const char *group, bool approve) {
    char name[64], *groups[] = {(char[64]){0}}, why[300] = "";
    snprintf(name, sizeof name, "%s", who);
    snprintf(groups[0], 64, "%s", group);
    struct jwt_identity identity = {.principal = name, .groups = groups, .ngroups = 1, .issuer = (char[]){"https://i"}};
    json_t *shown;
    enum appr_decided rc = appr_decide(
        a, &(struct appr_decision){id, approve, &identity, approve ? NULL : "too much", 0, POL_SCOPE_STATEMENT}, &shown, why, sizeof why);
    json_decref(shown);
    ck_assert_str_ne(why, "");
    return rc;
}

START_TEST(once) {
    struct appr *a = open_store();
    struct appr_reply r;
    char id[APPR_ID_SIZE];
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_NEW);
    memcpy(id, r.id, sizeof id);
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_PENDING);
    ck_assert_str_eq(r.id, id);
    ck_assert_uint_eq(r.expires_ms, clock_ms + 60000);
    uint64_t epoch = appr_epoch(a);
    ck_assert_int_eq(decide(a, id, "dba", "dbas", true), APPR_TAKEN);
    ck_assert_uint_ne(appr_epoch(a), epoch);
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_NEW); /* another statement has nothing of it */
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_RUN);
    ck_assert_str_eq(r.id, id);
    ck_assert_str_eq(r.by, "dba");
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_NEW);
    ck_assert_str_ne(r.id, id);
    ck_assert_int_eq(decide(a, id, "dba2", "dbas", true), APPR_OVER);
    ck_assert_int_eq(decide(a, id, "dba2", "dbas", false), APPR_OVER);
    appr_close(a);
}
END_TEST

START_TEST(who_may) {
    struct appr *a = open_store();
    struct appr_reply r;
    ask(a, FP_A, &r);
    ck_assert_int_eq(decide(a, "0000000000000000", "dba", "dbas", true), APPR_UNKNOWN);
    ck_assert_int_eq(decide(a, "", "dba", "dbas", true), APPR_UNKNOWN);
    ck_assert_int_eq(decide(a, "../../../etc/passwd", "dba", "dbas", true), APPR_UNKNOWN);
    ck_assert_int_eq(decide(a, r.id, "agent", "dbas", true), APPR_SELF);
    ck_assert_int_eq(decide(a, r.id, "AGENT", "dbas", true), APPR_SELF);
    ck_assert_int_eq(decide(a, r.id, "analyst", "analysts", true), APPR_STRANGER);
    ck_assert_int_eq(decide(a, r.id, "analyst", "analysts", false), APPR_STRANGER);
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_PENDING);
    ck_assert_uint_eq(r.have, 0);
    appr_close(a);
}
END_TEST

START_TEST(denied) {
    struct appr *a = open_store();
    struct appr_reply r;
    ask(a, FP_A, &r);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", false), APPR_TAKEN);
    ck_assert_int_eq(decide(a, r.id, "dba2", "dbas", true), APPR_OVER);
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_DENIED);
    ck_assert_str_eq(r.by, "dba");
    ck_assert_str_eq(r.text, "too much");
    clock_ms += 60000;
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_NEW);
    /* who approved may think better of it, while it is not used */
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_OVER);
    ck_assert_int_eq(decide(a, r.id, "dba2", "dbas", false), APPR_TAKEN);
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_DENIED);
    appr_close(a);
}
END_TEST

START_TEST(quorum) {
    struct appr *a = open_store();
    struct appr_reply r;
    json_t *two = json_pack("[{s:s, s:[s], s:i}, {s:s, s:[s, s], s:i}]", "rule", "r", "approvers", "dbas", "quorum", 2, "rule", "s",
                            "approvers", "leads", "law", "quorum", 1);
    ck_assert_int_eq(ask_as(a, "agent", FP_A, two, &r), APPR_NEW);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TWICE);
    ck_assert_int_eq(decide(a, r.id, "DBA", "dbas", true), APPR_TWICE);
    ck_assert_int_eq(ask_as(a, "agent", FP_A, two, &r), APPR_PENDING);
    ck_assert_uint_eq(r.have, 1);
    ck_assert_int_eq(decide(a, r.id, "dba2", "dbas", true), APPR_TAKEN);
    ck_assert_int_eq(ask_as(a, "agent", FP_A, two, &r), APPR_PENDING);
    ck_assert_int_eq(decide(a, r.id, "lawyer", "law", true), APPR_TAKEN);
    ck_assert_int_eq(ask_as(a, "agent", FP_A, two, &r), APPR_RUN);
    json_decref(two);
    appr_close(a);
}
END_TEST

START_TEST(time_ends_it) {
    struct appr *a = open_store();
    struct appr_reply r;
    ask(a, FP_A, &r);
    clock_ms += 59999;
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN); /* at the last moment */
    clock_ms += 29999;
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_RUN);
    ask(a, FP_A, &r);
    clock_ms += 60000;
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_OVER);
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_NEW);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
    clock_ms += 30000;
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_NEW);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
    clock_ms -= 1; /* a clock that goes back grants no time */
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_NEW);
    appr_close(a);
}
END_TEST

/* The terms of today count. */
START_TEST(other_terms) {
    struct appr *a = open_store();
    struct appr_reply r;
    char id[APPR_ID_SIZE];
    json_t *one = asks("r", "dbas", 1), *more = asks("r", "dbas", 2), *other = asks("r", "leads", 1);
    ask_as(a, "agent", FP_A, one, &r);
    memcpy(id, r.id, sizeof id);
    ck_assert_int_eq(decide(a, id, "dba", "dbas", true), APPR_TAKEN);
    ck_assert_int_eq(ask_as(a, "agent", FP_A, more, &r), APPR_NEW);
    ck_assert_str_ne(r.id, id);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
    ck_assert_int_eq(ask_as(a, "agent", FP_A, other, &r), APPR_NEW);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_STRANGER);
    ck_assert_int_eq(ask_as(a, "agent", FP_A, one, &r), APPR_NEW);
    struct appr_question q = {.fingerprint = FP_A,
                              .principal = "agent",
                              .asks = one,
                              .detail = json_object(),
                              .expires_ms = 60000,
                              .window_ms = 1000,
                              .max = 9,
                              .max_principal = 9};
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
    clock_ms += 1000; /* inside of the window that was, not of the one that is */
    appr_ask(a, &q, &r);
    ck_assert_int_eq(r.rc, APPR_NEW);
    json_decref(one);
    json_decref(more);
    json_decref(other);
    appr_close(a);
}
END_TEST

START_TEST(bounds) {
    struct appr *a = open_store();
    struct appr_reply r;
    char fp[65];
    json_t *by = asks("r", "dbas", 1);
    for (int i = 0; i < 102; i++) {
        char who[16];
        snprintf(fp, sizeof fp, "%064x", (unsigned)i);
        snprintf(who, sizeof who, "agent%d", i / 3);
        ck_assert_int_eq(ask_as(a, who, fp, by, &r), i < 100 ? APPR_NEW : APPR_FULL);
        if (i >= 100) ck_assert(!r.mine);
    }
    clock_ms += 60000;
    for (int i = 0; i < 4; i++) {
        snprintf(fp, sizeof fp, "%064x", (unsigned)i);
        ck_assert_int_eq(ask_as(a, "agent", fp, by, &r), i < 3 ? APPR_NEW : APPR_FULL);
        if (i >= 3) ck_assert(r.mine);
    }
    json_decref(by);
    appr_close(a);
}
END_TEST

/* --- death and a second process --- */

START_TEST(survives) {
    struct appr *a = open_store();
    struct appr_reply r, first;
    ask(a, FP_A, &first);
    ask(a, FP_B, &r);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
    appr_close(a);
    a = open_store();
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_PENDING);
    ck_assert_str_eq(r.id, first.id);
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_RUN);
    appr_close(a);
    a = open_store();
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_NEW);
    appr_close(a);
}
END_TEST

START_TEST(two_processes) {
    struct appr *a = open_store(), *b = open_store();
    struct appr_reply r;
    ck_assert_str_eq(nodekey_public(appr_key(a)), nodekey_public(appr_key(b)));
    ask(a, FP_A, &r);
    ck_assert_int_eq(ask(b, FP_A, &r), APPR_PENDING);
    ck_assert_int_eq(decide(b, r.id, "dba", "dbas", true), APPR_TAKEN);
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_RUN);
    ck_assert_int_eq(ask(b, FP_A, &r), APPR_NEW);
    appr_close(a);
    appr_close(b);
}
END_TEST

/* Real processes, hundreds of rounds: of those that ask for the same approved statement at the same time exactly one runs it. */
#define ROUNDS 300
#define RACERS 3
static void race(int go, int result) {
    struct appr *a = open_store();
    struct appr_reply r;
    char byte;
    while (read(go, &byte, 1) == 1) {
        byte = ask(a, FP_A, &r) == APPR_RUN ? 'x' : '.';
        if (write(result, &byte, 1) != 1) _exit(1);
    }
    appr_close(a);
    exit(0);
}

START_TEST(races) {
    int go[2], result[2];
    pid_t pid[RACERS];
    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(pipe(result), 0);
    struct appr *a = open_store();
    for (int i = 0; i < RACERS; i++) {
        pid[i] = fork();
        ck_assert_int_ge(pid[i], 0);
        if (pid[i] > 0) continue;
        close(go[1]);
        close(result[0]);
        race(go[0], result[1]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct appr_reply r;
        char got[RACERS];
        int ran = 0;
        ask(a, FP_A, &r);
        ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
        ck_assert_int_eq(write(go[1], "ggg", RACERS), RACERS);
        for (int k = 0; k < RACERS; k++) {
            ck_assert_int_eq(read(result[0], &got[k], 1), 1);
            ran += got[k] == 'x';
        }
        ck_assert_int_eq(ran, 1);
    }
    close(go[1]);
    for (int i = 0; i < RACERS; i++) {
        int status;
        waitpid(pid[i], &status, 0);
        ck_assert_int_eq(status, 0);
    }
    close(go[0]);
    close(result[0]);
    close(result[1]);
    appr_close(a);
}
END_TEST

/* --- another hand --- */

static void path_of(const char *name, char out[200]) { snprintf(out, 200, "%s/%s", dir, name); }

static char *slurp(const char *name, size_t *len) {
    char path[200], *text = calloc(1, 1 << 20);
    path_of(name, path);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    *len = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    return text;
}

static void spit(const char *name, const char *text, size_t len) {
    char path[200];
    path_of(name, path);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    fclose(f);
}

/* A decision of another request, moved to this one; one with a flipped byte: neither counts. */
START_TEST(forged) {
    struct appr *a = open_store();
    struct appr_reply r, other;
    size_t len;
    ask(a, FP_A, &r);
    ask(a, FP_B, &other);
    ck_assert_int_eq(decide(a, other.id, "dba", "dbas", true), APPR_TAKEN);
    appr_close(a);
    char *text = slurp("approvals.log", &len), *line = strstr(text, "{\"id\":");
    while (line != NULL && strstr(line, "\"t\":\"decision\"") != NULL && strncmp(line + 7, other.id, 16) != 0)
        line = strstr(line + 1, "{\"id\":");
    ck_assert_ptr_nonnull(line);
    struct buf b = BUF_INIT(1 << 20);
    char *end = strchr(line, '\n'), changed[4096];
    snprintf(changed, sizeof changed, "%.*s", (int)(end - line), line);
    for (char *at; (at = strstr(changed, other.id)) != NULL;) memcpy(at, r.id, 16); /* it says so, and its signature does not */
    /* with a good checksum, as somebody who can write there would make it */
    buf_put(&b, text, len);
    struct buf bad = BUF_INIT(1 << 16);
    alog_line(&bad, changed, strlen(changed));
    buf_put(&b, buf_at(&bad), buf_used(&bad));
    spit("approvals.log", (const char *)buf_at(&b), buf_used(&b));
    a = open_store();
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_PENDING);
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_RUN); /* the true one still counts, once */
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_NEW);
    appr_close(a);
    buf_free(&b);
    buf_free(&bad);
    free(text);
}
END_TEST

/* Another key: nothing that was signed before counts. */
START_TEST(other_key) {
    struct appr *a = open_store();
    struct appr_reply r;
    char path[200];
    ask(a, FP_A, &r);
    decide(a, r.id, "dba", "dbas", true);
    appr_close(a);
    path_of("node.key", path);
    ck_assert_int_eq(unlink(path), 0);
    a = open_store();
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_PENDING);
    appr_close(a);
}
END_TEST

START_TEST(key_is_private) {
    char path[200], err[400];
    struct stat st;
    appr_close(open_store());
    path_of("node.key", path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert_ptr_null(appr_open(&(struct appr_conf){.dir = dir, .node = "n1"}, err, sizeof err));
    ck_assert_ptr_nonnull(strstr(err, "chmod 600"));
    spit("node.key", "no key", 6);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_ptr_null(appr_open(&(struct appr_conf){.dir = dir, .node = "n1"}, err, sizeof err));
    ck_assert_ptr_nonnull(strstr(err, "no Ed25519 key"));
}
END_TEST

/* The process died in a write: the line was never answered for, and is gone; what was before stays. */
START_TEST(torn) {
    struct appr *a = open_store();
    struct appr_reply r;
    size_t len;
    ask(a, FP_A, &r);
    ask(a, FP_B, &r);
    appr_close(a);
    char *text = slurp("approvals.log", &len);
    spit("approvals.log", text, len - 7);
    free(text);
    a = open_store();
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_PENDING);
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_NEW);
    appr_close(a);
    a = open_store();
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_PENDING);
    appr_close(a);
}
END_TEST

/* A line in the middle that is damaged may have said "used": nothing of the file counts. Also while it is open. */
START_TEST(damaged) {
    struct appr *a = open_store();
    struct appr_reply r;
    size_t len;
    ask(a, FP_A, &r);
    decide(a, r.id, "dba", "dbas", true);
    ask(a, FP_B, &r);
    char *text = slurp("approvals.log", &len);
    text[20] ^= 1;
    appr_close(a);
    spit("approvals.log", text, len);
    a = open_store();
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_NEW);
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_NEW);
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_RUN);
    appr_close(a);
    free(text);
    char path[200];
    path_of("approvals.log", path);
    ck_assert_int_eq(chmod(path, 0666), 0);
    char err[400];
    ck_assert_ptr_null(appr_open(&(struct appr_conf){.dir = dir, .node = "n1"}, err, sizeof err));
    ck_assert_ptr_nonnull(strstr(err, "chmod 600"));
}
END_TEST

/* --- reading --- */

START_TEST(shown) {
    struct appr *a = open_store();
    struct appr_reply r;
    bool more;
    json_t *by = asks("r", "dbas", 1);
    char fp[65], last[APPR_ID_SIZE] = "";
    for (int i = 0; i < 7; i++) {
        char who[16];
        snprintf(who, sizeof who, "agent%d", i);
        snprintf(fp, sizeof fp, "%064x", (unsigned)i);
        ask_as(a, who, fp, by, &r);
        clock_ms++;
    }
    for (int page = 0; page < 3; page++) {
        json_t *list = appr_list(a, &(struct appr_view){.after = last, .max = 3}, &more);
        ck_assert_uint_eq(json_array_size(list), page < 2 ? 3 : 1);
        ck_assert(more == (page < 2));
        for (size_t i = 0; i < json_array_size(list); i++) {
            const char *id = json_string_value(json_object_get(json_array_get(list, i), "id"));
            ck_assert_str_gt(id, last);
            snprintf(last, sizeof last, "%s", id);
        }
        json_decref(list);
    }
    ck_assert_int_eq(decide(a, r.id, "dba", "dbas", true), APPR_TAKEN);
    json_t *one = appr_show(a, r.id, NULL, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(one, "status")), "approved");
    ck_assert_str_eq(json_string_value(json_object_get(one, "principal")), "agent6");
    ck_assert_str_eq(json_string_value(json_object_get(one, "rule")), "r");
    ck_assert_str_eq(json_string_value(json_object_get(one, "expires")), "2027-01-15T08:01:00.006Z");
    const json_t *d = json_array_get(json_object_get(one, "decisions"), 0);
    const char *text = json_string_value(json_object_get(d, "signed"));
    ck_assert(nodekey_verify(appr_key(a), text, strlen(text), json_string_value(json_object_get(d, "signature"))));
    ck_assert(!nodekey_verify(appr_key(a), text, strlen(text) - 1, json_string_value(json_object_get(d, "signature"))));
    json_decref(one);
    ck_assert_ptr_null(appr_show(a, "0", NULL, NULL));
    json_decref(by);
    appr_close(a);
}
END_TEST

static size_t n_seen(struct appr *a, char *name, char *group, bool over, bool *more) {
    char *groups[] = {(char[]){"others"}, group};
    const struct jwt_identity who = {.principal = name, .groups = groups, .ngroups = 2, .issuer = (char[]){"https://i"}};
    json_t *list = appr_list(a, &(struct appr_view){.after = "", .max = 2, .over = over, .who = &who}, more);
    size_t n = json_array_size(list);
    json_decref(list);
    return n;
}

static bool sees(struct appr *a, const char *id, char *name, char *group, struct appr_may *may) {
    char *groups[] = {group};
    const struct jwt_identity who = {.principal = name, .groups = groups, .ngroups = 1, .issuer = (char[]){"https://i"}};
    json_t *one = appr_show(a, id, &who, may);
    json_decref(one);
    return one != NULL;
}

/* Only one's own, and what one may decide on. */
START_TEST(who_sees) {
    struct appr *a = open_store();
    struct appr_reply mine, theirs, third;
    struct appr_may may;
    bool more;
    json_t *dbas = asks("r", "dbas", 2), *leads = asks("r", "leads", 1);
    char fp[65], dba[] = "dba", dba2[] = "dba2", group[] = "dbas", lead[] = "leads", agent[] = "AGENT", nobody[] = "nobody",
                 none[] = "none";
    snprintf(fp, sizeof fp, "%064x", 1u);
    ask_as(a, "agent", fp, dbas, &mine);
    clock_ms++;
    snprintf(fp, sizeof fp, "%064x", 2u);
    ask_as(a, "other", fp, leads, &theirs);
    clock_ms++;
    snprintf(fp, sizeof fp, "%064x", 3u);
    ask_as(a, "other", fp, leads, &third);
    ck_assert_uint_eq(n_seen(a, dba, group, false, &more), 1);
    ck_assert(!more); /* what cannot be seen does not count either */
    ck_assert_uint_eq(n_seen(a, dba, lead, false, &more), 2);
    ck_assert_uint_eq(n_seen(a, agent, none, false, &more), 1);
    ck_assert_uint_eq(n_seen(a, nobody, none, true, &more), 0);
    ck_assert(!sees(a, theirs.id, dba, group, &may) && !may.approve && !may.deny);
    ck_assert(sees(a, mine.id, dba, group, &may) && may.approve && may.deny);
    ck_assert(sees(a, mine.id, agent, group, &may) && !may.approve && !may.deny);
    ck_assert_int_eq(decide(a, mine.id, "dba", "dbas", true), APPR_TAKEN);
    ck_assert(sees(a, mine.id, dba, group, &may) && !may.approve && may.deny);
    ck_assert(sees(a, mine.id, dba2, group, &may) && may.approve && may.deny);
    ck_assert_int_eq(decide(a, mine.id, "dba2", "dbas", true), APPR_TAKEN);
    ck_assert_int_eq(decide(a, mine.id, "dba", "dbas", false), APPR_TAKEN); /* on second thoughts */
    ck_assert(sees(a, mine.id, dba2, group, &may) && !may.approve && !may.deny);
    appr_close(a);
    a = open_store(); /* and it stays so */
    ask_as(a, "agent", "0000000000000000000000000000000000000000000000000000000000000001", dbas, &mine);
    ck_assert_int_eq(mine.rc, APPR_DENIED);
    json_decref(dbas);
    json_decref(leads);
    appr_close(a);
}
END_TEST

/* Ended requests go, and the file with them. */
START_TEST(forgets) {
    struct appr *a = open_store();
    struct appr_reply r;
    char fp[65], path[200], sql[20001];
    struct stat before, after;
    json_t *by = asks("r", "dbas", 1);
    memset(sql, 'x', sizeof sql - 1);
    sql[sizeof sql - 1] = '\0';
    for (int i = 0; i < 100; i++) {
        struct appr_question q = {.fingerprint = fp,
                                  .principal = "agent",
                                  .asks = by,
                                  .detail = json_pack("{s:s, s:s}", "sql", sql, "database", "shop"),
                                  .expires_ms = 1000,
                                  .window_ms = 1000,
                                  .max = 1000,
                                  .max_principal = 1000};
        snprintf(fp, sizeof fp, "%064x", (unsigned)i);
        appr_ask(a, &q, &r);
        ck_assert_int_eq(r.rc, APPR_NEW);
    }
    path_of("approvals.log", path);
    stat(path, &before);
    ck_assert_int_gt(before.st_size, 2000000);
    clock_ms += 1000;
    appr_sweep(a);
    ask(a, FP_A, &r);
    clock_ms += 3600001;
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_NEW);
    appr_sweep(a);
    stat(path, &after);
    ck_assert_int_lt(after.st_size, 10000);
    struct appr *b = open_store();
    ck_assert_int_eq(ask(b, FP_B, &r), APPR_PENDING);
    ck_assert_int_eq(ask(a, FP_B, &r), APPR_PENDING);
    appr_close(b);
    json_decref(by);
    appr_close(a);
}
END_TEST

/* A file that another process has replaced is read anew. */
START_TEST(replaced_under_us) {
    struct appr *a = open_store(), *b = open_store();
    struct appr_reply r;
    char fp[65], sql[60001];
    json_t *by = asks("r", "dbas", 1);
    memset(sql, 'x', sizeof sql - 1);
    sql[sizeof sql - 1] = '\0';
    ask(b, FP_A, &r);
    decide(b, r.id, "dba", "dbas", true);
    for (int i = 0; i < 40; i++) {
        struct appr_question q = {.fingerprint = fp,
                                  .principal = "x",
                                  .asks = by,
                                  .detail = json_pack("{s:s, s:s}", "sql", sql, "database", "shop"),
                                  .expires_ms = 10,
                                  .window_ms = 1000,
                                  .max = 1000,
                                  .max_principal = 1000};
        snprintf(fp, sizeof fp, "%064x", (unsigned)i);
        appr_ask(a, &q, &r);
    }
    ck_assert_int_eq(ask(b, FP_B, &r), APPR_NEW);
    clock_ms += 20;
    appr_sweep(a);
    clock_ms += 100;
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_RUN);
    clock_ms += 3600000;
    appr_sweep(a); /* makes the file short */
    ck_assert_int_eq(ask(b, FP_A, &r), APPR_NEW);
    ck_assert_int_eq(ask(a, FP_A, &r), APPR_PENDING);
    json_decref(by);
    appr_close(a);
    appr_close(b);
}
END_TEST

/* --- what a person sees --- */

static const struct {
    const char *in, *out;
} seen[] = {
    {"SELECT 1", "SELECT 1"},
    {"a\nb\tc", "a\nb\tc"},
    {"a\x1b[2Kb\r", "a<U+001B>[2Kb<U+000D>"},
    {"x\xe2\x80\xae y", "x<U+202E> y"},
    {"\xe2\x80\x8b\xef\xbb\xbf\xc2\xa0\xc2\xad", "<U+200B><U+FEFF><U+00A0><U+00AD>"},
    {"\xf3\xa0\x81\x81", "<U+E0041>"},
    {"gr\xc3\xbc\xc3\x9f \xe6\x97\xa5", "gr\xc3\xbc\xc3\x9f \xe6\x97\xa5"},
    {"\xff\xc3", "<0xFF><0xC3>"},
    {"\xed\xa0\x80", "<0xED><0xA0><0x80>"},
};

START_TEST(visible) {
    struct buf b = BUF_INIT(200);
    size_t n = strlen(seen[_i].in);
    uint8_t *in = guard_copy(seen[_i].in, n);
    ck_assert_uint_eq(visible_put(&b, (const char *)in, n, b.max), n);
    buf_u8(&b, 0);
    ck_assert_str_eq((const char *)buf_at(&b), seen[_i].out);
    for (size_t max = 0; max < strlen(seen[_i].out); max++) { /* never a part of a character or word */
        buf_reset(&b);
        ck_assert_uint_lt(visible_put(&b, (const char *)in, n, max), n);
        ck_assert_uint_le(buf_used(&b), max);
        ck_assert(gh_utf8_valid(buf_at(&b), buf_used(&b)));
    }
    guard_free(in, n);
    buf_free(&b);
}
END_TEST

START_TEST(one_line) {
    struct buf b = BUF_INIT(200);
    visible_line(&b, "a\n\tb", 4, b.max);
    buf_u8(&b, 0);
    ck_assert_str_eq((const char *)buf_at(&b), "a<U+000A><U+0009>b");
    buf_free(&b);
}
END_TEST

START_TEST(mac) {
    struct appr *a = open_store();
    char one[65], two[65];
    ck_assert(nodekey_mac(appr_key(a), "x", 1, one) && nodekey_mac(appr_key(a), "y", 1, two));
    ck_assert_str_ne(one, two);
    appr_close(a);
    a = open_store();
    ck_assert(nodekey_mac(appr_key(a), "x", 1, two));
    ck_assert_str_eq(one, two);
    appr_close(a);
}
END_TEST

/* Up to the most that a node takes by default (GH_PENDING=10000): the list is complete, in order, and no page is without a bound. */
START_TEST(many) {
    struct appr *a = open_store();
    struct appr_reply r;
    json_t *by = asks("r", "dbas", 1);
    char fp[65], after[APPR_ID_SIZE] = "";
    static char sql[40000];
    const char *env = getenv("GH_PENDING");
    int total = env != NULL ? atoi(env) : 1500;
    memset(sql, 'x', sizeof sql - 1);
    for (int i = 0; i < total; i++) {
        snprintf(fp, sizeof fp, "%064x", i);
        struct appr_question q = {.fingerprint = fp,
                                  .principal = "agent",
                                  .asks = by,
                                  .detail = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "principal", "agent", "database", "shop", "sql",
                                                      i % 100 == 0 ? sql : "UPDATE orders SET total = 0", "sha256", FP_A, "session", "s-1",
                                                      "n", i),
                                  .expires_ms = 60000,
                                  .window_ms = 30000,
                                  .max = (size_t)total,
                                  .max_principal = (size_t)total};
        appr_ask(a, &q, &r);
        ck_assert_int_eq(r.rc, APPR_NEW);
        clock_ms++;
    }
    json_decref(by);
    size_t listed = 0, pages = 0;
    for (bool more = true; more; pages++) {
        json_t *list = appr_list(a, &(struct appr_view){.after = after, .max = 1000}, &more);
        size_t n = json_array_size(list);
        ck_assert_uint_ge(n, 1);
        ck_assert_uint_le(n, 1000);
        for (size_t i = 0; i < n; i++) {
            const json_t *one = json_array_get(list, i);
            const char *id = json_string_value(json_object_get(one, "id"));
            ck_assert_str_gt(id, after);
            snprintf(after, sizeof after, "%s", id);
            ck_assert_int_eq(json_integer_value(json_object_get(one, "n")), (json_int_t)listed++);
            ck_assert_uint_le(json_string_length(json_object_get(one, "sql")), 4096);
        }
        json_decref(list);
    }
    ck_assert_uint_eq(listed, (size_t)total);
    ck_assert_uint_ge(pages, (size_t)total / 1000);
    appr_close(a);
}
END_TEST

int main(void) {
    Suite *s = suite_create("approval");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, once);
    tcase_add_test(t, who_may);
    tcase_add_test(t, denied);
    tcase_add_test(t, quorum);
    tcase_add_test(t, time_ends_it);
    tcase_add_test(t, other_terms);
    tcase_add_test(t, bounds);
    tcase_add_test(t, survives);
    tcase_add_test(t, two_processes);
    tcase_add_test(t, races);
    tcase_add_test(t, forged);
    tcase_add_test(t, other_key);
    tcase_add_test(t, key_is_private);
    tcase_add_test(t, torn);
    tcase_add_test(t, damaged);
    tcase_add_test(t, many);
    tcase_add_test(t, shown);
    tcase_add_test(t, who_sees);
    tcase_add_test(t, forgets);
    tcase_add_test(t, replaced_under_us);
    tcase_add_loop_test(t, visible, 0, (int)(sizeof seen / sizeof *seen));
    tcase_add_test(t, one_line);
    tcase_add_test(t, mac);
    suite_add_tcase(s, t);
    return run_suite(s);
}
