/* Names that SQL makes, drops and uses: what a message made is not lost sight of when DEALLOCATE, CLOSE, PREPARE or DECLARE fails. */
#include "t/filters/pg_talk.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <string.h>

static const size_t chops[] = {0, 1, SIZE_MAX};
#define CHOPS ((int)(sizeof chops / sizeof *chops))

#define REFUSED "DP(poison) S"

/* A Parse made s, which may be parsed and is refused when it runs ("later" asks). */
static void begin(struct talk *t, size_t chop) {
    talk_start(t, chop, NULL);
    talk_ready(t);
    talk_client(t, "Ps'text' S");
    talk_server(t, "1 ZI");
    talk_saw(t, FLT_SERVER);
    talk_saw(t, FLT_CLIENT);
}

static void refused(struct talk *t, const char *query, const char *state) {
    talk_client(t, query);
    talk_expect(t, FLT_SERVER, REFUSED);
    talk_server(t, "E34000 ZI");
    talk_expect(t, FLT_CLIENT, state);
}

static void runs(struct talk *t, const char *query) {
    talk_client(t, query);
    talk_expect(t, FLT_SERVER, query);
    talk_server(t, "C'SELECT 1' ZI");
    talk_saw(t, FLT_CLIENT);
}

/* In one text: before it, in it, behind it. */
START_TEST(a_text_that_fails) {
    static const char *const answers[] = {"E22012 ZI", "C'SELECT 1' E42P05 ZI", "C'DEALLOCATE' E22012 ZI", "E25P02 ZE"};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct talk t;
        begin(&t, chops[_i]);
        talk_client(&t, "Q'drop s'");
        talk_expect(&t, FLT_SERVER, "Q'drop s'");
        talk_server(&t, answers[i]);
        talk_saw(&t, FLT_CLIENT);
        t.events[t.events_len = 0] = '\0';
        refused(&t, "Q'run s'", "E26000 ZI");
        refused(&t, "Q'made run s'", "E26000 ZI"); /* whoever says so */
        refused(&t, "Q'old run s'", "E26000 ZI");
        ck_assert_ptr_eq(strstr(t.events, "by name"), NULL);
        runs(&t, "Q'whoever run s'"); /* nothing is held back where all is observed */
        ck_assert_int_eq(flt_name(t.f, false, "s"), FLT_NAME_DOUBT);
        talk_client(&t, "B,s S"); /* by a message neither */
        talk_expect(&t, FLT_SERVER, REFUSED);
        talk_server(&t, "E34000 ZI");
        talk_expect(&t, FLT_CLIENT, "E26000 ZI");
        runs(&t, "Q'drop s'");
        ck_assert_int_eq(flt_name(t.f, false, "s"), FLT_NAME_NONE);
        refused(&t, "Q'run s'", "E26000 ZI"); /* nobody made it */
        refused(&t, "Q'old run s'", "E42501 ZI");
        runs(&t, "Q'made run s'");
        talk_end(&t);
    }
}
END_TEST

START_TEST(what_ends_a_doubt) {
    static const char *const ends[] = {"CSs S", "Q'discard all'", "Ps'other' S"};
    static const char *const answers[] = {"3 ZI", "C'DISCARD ALL' ZI", "1 ZI"};
    for (size_t i = 0; i < 3; i++) {
        struct talk t;
        begin(&t, chops[_i]);
        talk_client(&t, "Q'drop s'");
        talk_server(&t, "E22012 ZI");
        talk_client(&t, ends[i]);
        talk_server(&t, i == 1 ? "E25001 ZI" : i == 2 ? "E42P05 ZI" : "E57014 ZI"); /* none of them does by failing */
        talk_saw(&t, FLT_SERVER);
        talk_saw(&t, FLT_CLIENT);
        refused(&t, "Q'made run s'", "E26000 ZI");
        talk_client(&t, ends[i]);
        talk_server(&t, answers[i]);
        talk_saw(&t, FLT_SERVER);
        talk_saw(&t, FLT_CLIENT);
        t.events[t.events_len = 0] = '\0';
        runs(&t, "Q'made run s'");
        ck_assert_int_eq(strstr(t.events, "execute other by name") != NULL, i == 2);
        talk_end(&t);
    }
}
END_TEST

/* What nobody read may have done anything, however well it went. */
START_TEST(unread) {
    struct talk t;
    begin(&t, chops[_i]);
    runs(&t, "Q'unread discard all'");
    refused(&t, "Q'made run s'", "E26000 ZI");
    runs(&t, "Q'discard all'");
    runs(&t, "Q'made run s'");
    talk_end(&t);
}
END_TEST

START_TEST(by_execute) {
    struct talk t;
    begin(&t, chops[_i]);
    talk_client(&t, "P'drop s' B, E S Q'made run s'");
    talk_server(&t, "1 2");
    talk_saw(&t, FLT_SERVER);
    talk_server(&t, "E25P02");
    talk_server(&t, "ZE");
    talk_expect(&t, FLT_SERVER, REFUSED);
    talk_server(&t, "E34000 ZE");
    talk_saw(&t, FLT_CLIENT);
    /* It goes well; the text behind it waits for that. */
    talk_client(&t, "P'drop s' B, E S Q'made run s'");
    talk_server(&t, "1 2");
    talk_expect(&t, FLT_SERVER, "P'drop s' B, H E'' S H");
    talk_server(&t, "C'DEALLOCATE'");
    talk_expect(&t, FLT_SERVER, "Q'made run s'");
    talk_end(&t);
    /* In the same pipeline, whose end is not known either. */
    begin(&t, chops[_i]);
    talk_client(&t, "Px'drop s' Py'made run s' S");
    talk_server(&t, "1 1 ZI");
    talk_client(&t, "Ba,x Bb,y S");
    talk_server(&t, "2 2 ZT");
    talk_saw(&t, FLT_SERVER);
    talk_client(&t, "Ea Eb S");
    talk_expect(&t, FLT_SERVER, "E'a' H");
    talk_server(&t, "E25P02");
    talk_expect(&t, FLT_SERVER, "S");
    talk_end(&t);
}
END_TEST

/* The server skips it, behind an error: then nothing has changed. */
START_TEST(skipped) {
    struct talk t;
    begin(&t, chops[_i]);
    talk_client(&t, "Px'drop s' P'bad' S");
    talk_server(&t, "1 1 ZI");
    talk_client(&t, "Ba,x S");
    talk_server(&t, "2 ZT");
    talk_client(&t, "CSnone Ea S"); /* no name of it is outstanding */
    talk_server(&t, "E57014 ZE");
    talk_saw(&t, FLT_SERVER);
    t.events[t.events_len = 0] = '\0';
    runs(&t, "Q'run s'");
    ck_assert_ptr_ne(strstr(t.events, "execute text by name"), NULL);
    talk_end(&t);
}
END_TEST

START_TEST(portals) {
    struct talk t;
    begin(&t, chops[_i]);
    talk_client(&t, "Bp,s S");
    talk_server(&t, "2 ZT");
    talk_client(&t, "Q'close p'");
    talk_server(&t, "E22012 ZE");
    talk_client(&t, "Q'rollback to'");
    talk_server(&t, "C'ROLLBACK' ZT");
    talk_saw(&t, FLT_SERVER);
    talk_saw(&t, FLT_CLIENT);
    static const char *const uses[] = {"Q'fetch from p'", "Q'made fetch from p'", "Q'made place fetch from p'"};
    for (size_t i = 0; i < 3; i++) {
        talk_client(&t, uses[i]);
        talk_expect(&t, FLT_SERVER, REFUSED);
        talk_server(&t, "E34000 ZT");
        talk_expect(&t, FLT_CLIENT, "E34000 ZT");
    }
    talk_client(&t, "Q'close all'");
    talk_server(&t, "C'CLOSE CURSOR ALL' ZT");
    talk_saw(&t, FLT_SERVER);
    talk_client(&t, "Q'made fetch from p'");
    talk_expect(&t, FLT_SERVER, "Q'made fetch from p'");
    talk_server(&t, "C'FETCH 1' ZT");
    talk_client(&t, "Bp,s S"); /* and the end of a transaction is the end of all of them */
    talk_server(&t, "2 ZT");
    talk_client(&t, "Q'close p'");
    talk_server(&t, "E22012 ZE");
    talk_client(&t, "Q'rollback'");
    talk_server(&t, "C'ROLLBACK' ZI");
    talk_saw(&t, FLT_SERVER);
    talk_saw(&t, FLT_CLIENT);
    runs(&t, "Q'made fetch from p'");
    refused(&t, "Q'fetch from p'", "E34000 ZI");
    refused(&t, "Q'old fetch from p'", "E42501 ZI");
    talk_end(&t);
}
END_TEST

/* UPDATE .. WHERE CURRENT OF runs nothing of the portal. */
START_TEST(place) {
    struct talk t;
    begin(&t, chops[_i]);
    talk_client(&t, "Bp,s S");
    talk_server(&t, "2 ZT");
    talk_saw(&t, FLT_SERVER);
    t.events[t.events_len = 0] = '\0';
    runs(&t, "Q'place fetch from p'");
    ck_assert_ptr_eq(strstr(t.events, "execute"), NULL);
    talk_end(&t);
}
END_TEST

/* The server has p, bound where no savepoint was, and a transaction block. */
static void bound(struct talk *t, size_t chop) {
    begin(t, chop);
    talk_client(t, "Bp,s S");
    talk_server(t, "2 ZT");
    talk_saw(t, FLT_SERVER);
    talk_saw(t, FLT_CLIENT);
}

static void done(struct talk *t, const char *query, const char *answers) {
    t->events[t->events_len = 0] = '\0';
    talk_client(t, query);
    talk_server(t, answers);
    talk_saw(t, FLT_SERVER);
    talk_saw(t, FLT_CLIENT);
}

static const char *fetches(struct talk *t) {
    static char events[64];
    t->events[t->events_len = 0] = '\0';
    talk_client(t, "Q'made fetch from p'");
    snprintf(events, sizeof events, "%s", strstr(t->events, "execute text") != NULL ? "asks" : "refused");
    talk_server(t, strcmp(events, "asks") == 0 ? "C'FETCH 1' ZT" : "E34000 ZT");
    talk_saw(t, FLT_SERVER);
    talk_saw(t, FLT_CLIENT);
    return events;
}

/* ROLLBACK TO ends what was bound since the last savepoint of that name, however that was bound and whatever RELEASE has left. */
START_TEST(savepoints) {
    static const struct {
        const char *before, *behind, *then;
    } cases[] = {
        {"", "savepoint a,back to a", "asks"},
        {"savepoint a", "back to a", "refused"},
        {"savepoint a", "savepoint b,back to b", "asks"},
        {"savepoint a", "savepoint a,back to a", "asks"},
        {"savepoint a", "savepoint a,back to a,back to a", "asks"},
        {"savepoint a", "savepoint a,release a,back to a", "refused"},
        {"savepoint a,savepoint b", "release b,back to a", "refused"},
        {"savepoint a,release a", "savepoint b,back to b", "asks"},
        {"", "marks,back to a", "refused"},
        {"", "savepoint a,marks,back to a", "refused"},
        {"", "marks,savepoint a,back to a", "asks"},
        {"savepoint a", "commits", "refused"},
        {"", "call", "asks"}, /* which cannot commit in a transaction block */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct talk t;
        char steps[128], query[64], *save = NULL;
        begin(&t, chops[_i]);
        done(&t, "Q'begin'", "C'BEGIN' ZT");
        for (int behind = 0; behind < 2; behind++) {
            snprintf(steps, sizeof steps, "%s", behind ? cases[i].behind : cases[i].before);
            for (char *s = strtok_r(steps, ",", &save); s != NULL; s = strtok_r(NULL, ",", &save)) {
                snprintf(query, sizeof query, "Q'%s'", s);
                done(&t, query, "C'OK' ZT");
            }
            if (!behind) done(&t, "Bp,s S", "2 ZT");
        }
        ck_assert_msg(strcmp(fetches(&t), cases[i].then) == 0, "case %zu", i);
        if (strcmp(cases[i].then, "refused") == 0) {
            done(&t, "Q'close p'", "C'CLOSE CURSOR' ZT"); /* which ends the doubt */
            ck_assert_int_eq(flt_name(t.f, true, "p"), FLT_NAME_NONE);
        }
        talk_end(&t);
    }
}
END_TEST

START_TEST(many_savepoints) {
    struct talk t;
    char query[64];
    bound(&t, chops[_i]);
    for (int i = 0; i < 200; i++) {
        snprintf(query, sizeof query, "Q'savepoint s%d'", i);
        done(&t, query, "C'SAVEPOINT' ZT");
    }
    done(&t, "Q'back to s180'", "C'ROLLBACK' ZT");
    ck_assert_str_eq(fetches(&t), "asks");
    done(&t, "Q'back to s7'", "C'ROLLBACK' ZT"); /* one of those that are not remembered */
    ck_assert_str_eq(fetches(&t), "refused");
    talk_end(&t);
}
END_TEST

/* A transaction ends all, with another one right behind it, too. */
START_TEST(chains) {
    struct talk t;
    bound(&t, chops[_i]);
    done(&t, "Q'commit'", "E23503 ZT"); /* or does not */
    ck_assert_str_eq(fetches(&t), "asks");
    done(&t, "Q'commit'", "C'COMMIT' ZT");
    ck_assert_int_eq(flt_name(t.f, true, "p"), FLT_NAME_NONE);
    t.events[t.events_len = 0] = '\0';
    runs(&t, "Q'made fetch from p'"); /* it is somebody else's now */
    ck_assert_ptr_eq(strstr(t.events, "execute text"), NULL);
    talk_end(&t);
}
END_TEST

/* In one pipeline: what is behind a COMMIT waits for it, unless it was bound behind it. */
START_TEST(behind_a_commit) {
    struct talk t;
    bound(&t, chops[_i]);
    talk_client(&t, "Px'commit' Bx,x Ex");
    talk_saw(&t, FLT_SERVER);
    talk_client(&t, "Ep");
    talk_expect(&t, FLT_SERVER, "H");
    talk_server(&t, "1 2 C'COMMIT'");
    talk_expect(&t, FLT_SERVER, "DP(poison)");
    talk_end(&t);
    bound(&t, chops[_i]);
    talk_client(&t, "Px'commit' Bx,x Ex Bq,s Eq S");
    talk_expect(&t, FLT_SERVER, "Px'commit' Bx,x E'x' Bq,s E'q' S");
    talk_end(&t);
}
END_TEST

/* Outside of a block a procedure may commit, whether it ends well or not. */
START_TEST(procedures) {
    for (int fails = 0; fails < 2; fails++) {
        struct talk t;
        begin(&t, chops[_i]);
        talk_client(&t, "Bp,s Px'call' Bx,x Ex H");
        talk_server(&t, fails ? "2 1 2 E22012" : "2 1 2 C'CALL'");
        ck_assert_int_eq(flt_name(t.f, true, "p"), FLT_NAME_DOUBT);
        talk_end(&t);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("pg_forget");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, a_text_that_fails, 0, CHOPS);
    tcase_add_loop_test(t, what_ends_a_doubt, 0, CHOPS);
    tcase_add_loop_test(t, unread, 0, CHOPS);
    tcase_add_loop_test(t, by_execute, 0, CHOPS);
    tcase_add_loop_test(t, skipped, 0, CHOPS);
    tcase_add_loop_test(t, portals, 0, CHOPS);
    tcase_add_loop_test(t, place, 0, CHOPS);
    tcase_add_loop_test(t, savepoints, 0, CHOPS);
    tcase_add_loop_test(t, many_savepoints, 0, CHOPS);
    tcase_add_loop_test(t, chains, 0, CHOPS);
    tcase_add_loop_test(t, behind_a_commit, 0, CHOPS);
    tcase_add_loop_test(t, procedures, 0, CHOPS);
    suite_add_tcase(s, t);
    return run_suite(s);
}
