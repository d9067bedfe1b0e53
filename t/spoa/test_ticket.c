#include "spoa/ticket.h"
#include "t/lib/guard.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct ticket_key *key;
static struct ticket_used *used;

static void setup(void) {
    key = ticket_key_new();
    used = ticket_used_new(4);
    ck_assert_ptr_nonnull(key);
    ck_assert_ptr_nonnull(used);
}
static void teardown(void) {
    ticket_key_free(key);
    ticket_used_free(used);
}

static const char *issue(uint64_t now, uint64_t ttl, const char *src, uint16_t port, enum ticket_verdict verdict, const char *reason) {
    static char text[TICKET_SIZE];
    struct ticket t = {.verdict = verdict};
    ck_assert(sid_make(1700000000000, t.sid));
    strcpy(t.reason, reason);
    ck_assert(ticket_make(key, now, ttl, src, port, &t, text));
    return text;
}

static enum ticket_rc check(const char *text, const char *src, uint16_t port, uint64_t now) {
    size_t len = strlen(text);
    uint8_t *p = guard_copy(text, len);
    struct ticket t;
    enum ticket_rc rc = ticket_check(key, used, p, len, src, port, now, &t);
    if (rc != TICKET_OK) ck_assert_str_eq(t.sid, "");
    guard_free(p, len);
    return rc;
}

START_TEST(session_ids) {
    char a[SID_SIZE], b[SID_SIZE];
    ck_assert(sid_make(0x018f3c2a9b10, a));
    ck_assert_uint_eq(strlen(a), 29);
    ck_assert_uint_eq(strspn(a, "0123456789abcdef-"), 29);
    ck_assert_mem_eq(a, "018f3c2a9b10-", 13);
    ck_assert(sid_make(0x018f3c2a9b10, b));
    ck_assert_str_ne(a, b);
    ck_assert(sid_make(0x018f3c2a9b11, b));
    ck_assert_int_lt(strcmp(a, b), 0);
}
END_TEST

START_TEST(says_what_was_put_in) {
    char text[TICKET_SIZE];
    struct ticket in = {.verdict = TICKET_REFUSE, .reason = "abcdefghijklmnopqrst_-09"}, out;
    ck_assert(sid_make(1, in.sid));
    ck_assert(ticket_make(key, 1000, 5000, "2001:db8::1", 65535, &in, text));
    ck_assert_uint_le(strlen(text), 127);
    ck_assert_uint_eq(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"), strlen(text));
    ck_assert_int_eq(ticket_check(key, used, text, strlen(text), "2001:db8::1", 65535, 5999, &out), TICKET_OK);
    ck_assert_str_eq(out.sid, in.sid);
    ck_assert_int_eq(out.verdict, TICKET_REFUSE);
    ck_assert_str_eq(out.reason, in.reason);
    ck_assert_int_eq(check(issue(1000, 5000, "10.0.0.1", 1, TICKET_ALLOW, ""), "10.0.0.1", 1, 1000), TICKET_OK);
}
END_TEST

/* Which protocol it is for stands under the MAC. */
START_TEST(of_either_protocol) {
    static const struct ticket kinds[] = {
        {.verdict = TICKET_ALLOW}, {.verdict = TICKET_ALLOW, .certificate = true}, {.verdict = TICKET_REFUSE}};
    for (size_t i = 0; i < 6; i++) {
        char text[TICKET_SIZE];
        struct ticket in = kinds[i / 2], out;
        uint64_t now = 1000 + i * 10000; /* the table is small: those before have expired */
        in.mysql = i % 2 != 0;
        ck_assert(sid_make(1, in.sid));
        ck_assert(ticket_make(key, now, 5000, "10.0.0.1", 1, &in, text));
        char *letter = strrchr(text, '.') - 2;
        *letter ^= 0x20; /* the other protocol's */
        ck_assert_int_eq(ticket_check(key, used, text, strlen(text), "10.0.0.1", 1, now, &out), TICKET_FORGED);
        *letter ^= 0x20;
        ck_assert_int_eq(ticket_check(key, used, text, strlen(text), "10.0.0.1", 1, now, &out), TICKET_OK);
        ck_assert_int_eq(out.mysql, in.mysql);
        ck_assert_int_eq(out.verdict, in.verdict);
        ck_assert_int_eq(out.certificate, in.certificate);
    }
}
END_TEST

START_TEST(good_once_and_not_for_long) {
    const char *text = issue(1000, 5000, "10.0.0.1", 4000, TICKET_ALLOW, "");
    ck_assert_int_eq(check(text, "10.0.0.1", 4001, 1000), TICKET_FORGED);
    ck_assert_int_eq(check(text, "10.0.0.14", 4000, 1000), TICKET_FORGED);
    ck_assert_int_eq(check(text, "", 4000, 1000), TICKET_FORGED);
    ck_assert_int_eq(check(text, "10.0.0.1", 4000, 5999), TICKET_OK); /* wrong tries did not use it up */
    ck_assert_int_eq(check(text, "10.0.0.1", 4000, 5999), TICKET_REUSED);
    ck_assert_int_eq(check(text, "10.0.0.1", 4000, 6000), TICKET_EXPIRED);
    /* A clock that steps back does not revive it. */
    ck_assert_int_eq(check(text, "10.0.0.1", 4000, 2000), TICKET_EXPIRED);
}
END_TEST

START_TEST(every_character_counts) {
    char text[TICKET_SIZE];
    strcpy(text, issue(0, 1000, "10.0.0.1", 1, TICKET_REFUSE, "quota"));
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        char keep = text[i];
        static const char others[] = "0aAr._-z9f\xff\n";
        for (size_t k = 0; k < sizeof others; k++) { /* the closing NUL too */
            if (others[k] == keep) continue;
            text[i] = others[k];
            struct ticket t;
            enum ticket_rc rc = ticket_check(key, used, text, len, "10.0.0.1", 1, 0, &t);
            ck_assert_msg(rc == TICKET_FORGED || rc == TICKET_MALFORMED, "position %zu", i);
        }
        text[i] = keep;
    }
    for (size_t n = 0; n < len; n++) {
        uint8_t *p = guard_copy(text, n);
        struct ticket t;
        enum ticket_rc rc = ticket_check(key, used, p, n, "10.0.0.1", 1, 0, &t);
        ck_assert(rc == TICKET_FORGED || rc == TICKET_MALFORMED);
        guard_free(p, n);
    }
    char longer[256];
    snprintf(longer, sizeof longer, "%sA", text);
    ck_assert_int_ne(check(longer, "10.0.0.1", 1, 0), TICKET_OK);
    memset(longer, 'a', 200);
    longer[200] = '\0';
    ck_assert_int_eq(check(longer, "10.0.0.1", 1, 0), TICKET_MALFORMED);
    ck_assert_int_eq(check(text, "10.0.0.1", 1, 0), TICKET_OK);
}
END_TEST

START_TEST(another_process) {
    char text[TICKET_SIZE];
    strcpy(text, issue(0, 1000, "10.0.0.1", 1, TICKET_ALLOW, ""));
    struct ticket_key *mine = key;
    key = ticket_key_new();
    ck_assert_int_eq(check(text, "10.0.0.1", 1, 0), TICKET_FORGED);
    ticket_key_free(key);
    key = mine;
}
END_TEST

START_TEST(full_is_refused_until_some_expire) {
    for (int i = 0; i < 4; i++) ck_assert_int_eq(check(issue(100, 1000 + (uint64_t)i, "a", 1, TICKET_ALLOW, ""), "a", 1, 100), TICKET_OK);
    char fifth[TICKET_SIZE];
    strcpy(fifth, issue(100, 5000, "a", 1, TICKET_ALLOW, ""));
    ck_assert_int_eq(check(fifth, "a", 1, 1099), TICKET_FULL);
    ck_assert_int_eq(check(fifth, "a", 1, 1100), TICKET_OK);
    ck_assert_int_eq(check(fifth, "a", 1, 1100), TICKET_REUSED);
    /* Many rounds through the ring. */
    for (uint64_t now = 6000; now < 7000; now++) ck_assert_int_eq(check(issue(now, 4, "a", 1, TICKET_ALLOW, ""), "a", 1, now), TICKET_OK);
}
END_TEST

START_TEST(what_is_no_ticket_is_not_made) {
    char text[TICKET_SIZE];
    struct ticket t = {.sid = "018f3c2a9b10-4f0c1b2a99887766", .verdict = TICKET_ALLOW};
    ck_assert(ticket_make(key, 0, 1, "a", 1, &t, text));
    strcpy(t.reason, "Upper");
    ck_assert(!ticket_make(key, 0, 1, "a", 1, &t, text));
    ck_assert_str_eq(text, "");
    t.reason[0] = '\0';
    ck_assert(!ticket_make(key, 0, 1, "a\n1", 1, &t, text));
    ck_assert(!ticket_make(key, 0, 1, "", 1, &t, text));
    ck_assert(!ticket_make(key, 2, UINT64_MAX, "a", 1, &t, text));
    t.sid[3] = 'x';
    ck_assert(!ticket_make(key, 0, 1, "a", 1, &t, text));
}
END_TEST

struct race {
    char text[64][TICKET_SIZE];
    int won[64][4];
};
static struct race race;

static void *racer(void *arg) {
    size_t who = (size_t)(uintptr_t)arg;
    struct ticket t;
    for (size_t i = 0; i < 64; i++)
        race.won[i][who] = ticket_check(key, used, race.text[i], strlen(race.text[i]), "a", 1, 0, &t) == TICKET_OK;
    return NULL;
}

START_TEST(one_of_many_threads_wins) {
    ticket_used_free(used);
    used = ticket_used_new(64);
    for (size_t i = 0; i < 64; i++) strcpy(race.text[i], issue(0, 1000, "a", 1, TICKET_ALLOW, ""));
    pthread_t t[4];
    for (size_t i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, racer, (void *)(uintptr_t)i), 0);
    for (size_t i = 0; i < 4; i++) ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    for (size_t i = 0; i < 64; i++) ck_assert_int_eq(race.won[i][0] + race.won[i][1] + race.won[i][2] + race.won[i][3], 1);
}
END_TEST

int main(void) {
    Suite *s = suite_create("ticket");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, session_ids);
    tcase_add_test(t, says_what_was_put_in);
    tcase_add_test(t, of_either_protocol);
    tcase_add_test(t, good_once_and_not_for_long);
    tcase_add_test(t, every_character_counts);
    tcase_add_test(t, another_process);
    tcase_add_test(t, full_is_refused_until_some_expire);
    tcase_add_test(t, what_is_no_ticket_is_not_made);
    tcase_add_test(t, one_of_many_threads_wins);
    suite_add_tcase(s, t);
    return run_suite(s);
}
