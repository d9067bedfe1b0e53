/* What a question tells beside its text: the types of its parameters, and whether anybody waits while it is held. */
#include "t/filters/pg_talk.h"
#include "t/lib/guard.h"

static const size_t chops[] = {0, 1, SIZE_MAX};
#define CHOPS ((int)(sizeof chops / sizeof *chops))

START_TEST(alone) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_login(&t);
    talk_client(&t, "Q'first'"); /* there is no server yet */
    ck_assert(t.alone);
    talk_server(&t, "R0 Sserver_version=15 Sclient_encoding=UTF8 K ZI");
    talk_server(&t, "T D'1' C'SELECT 1' ZI");
    talk_client(&t, "Q'begin'");
    ck_assert(t.alone);
    talk_server(&t, "C'BEGIN' ZT");
    talk_client(&t, "Q'inside'");
    ck_assert(!t.alone);
    talk_server(&t, "C'SELECT 1' ZT");
    talk_client(&t, "Q'rollback'");
    talk_server(&t, "C'ROLLBACK' ZI");
    talk_client(&t, "Q'outside'");
    ck_assert(t.alone);
    talk_server(&t, "C'SELECT 1' ZI");
    talk_client(&t, "Ps'text'"); /* the server's parser takes locks */
    ck_assert(t.alone);
    talk_client(&t, "Bp,s Ep");
    ck_assert(!t.alone);
    talk_server(&t, "1 2 C'SELECT 1'"); /* all is answered, and the unit is open all the same */
    talk_client(&t, "Pu'more'");
    ck_assert(!t.alone);
    talk_server(&t, "1");
    talk_client(&t, "S");
    talk_server(&t, "ZI");
    talk_client(&t, "Q'again'");
    ck_assert(t.alone);
    talk_end(&t);
}
END_TEST

/* As Parse declares them; kept for the statement's life, and another Parse of the name has its own. */
START_TEST(types) {
    static const char parse[] = "P\0\0\0\x15s\0text\0\0\2\0\0\0\x17\0\0\0\0";
    static const char other[] = "P\0\0\0\x11s\0text\0\0\1\0\0\0\x19";
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_raw(&t, FLT_CLIENT, parse, sizeof parse - 1);
    talk_client(&t, "Bp,s Ep S");
    ck_assert_uint_eq(t.ntypes, 2);
    ck_assert_uint_eq(t.types[0], 23);
    ck_assert_uint_eq(t.types[1], 0);
    talk_server(&t, "1 2 C'SELECT 1' ZI");
    talk_client(&t, "CSs S");
    talk_server(&t, "3 ZI");
    talk_raw(&t, FLT_CLIENT, other, sizeof other - 1);
    talk_client(&t, "S");
    talk_server(&t, "1 ZI");
    talk_client(&t, "Bp,s Ep S");
    ck_assert_uint_eq(t.ntypes, 1);
    ck_assert_uint_eq(t.types[0], 25);
    talk_server(&t, "2 C'SELECT 1' ZI");
    talk_client(&t, "Q'simple'");
    ck_assert_uint_eq(t.ntypes, 0);
    talk_end(&t);
}
END_TEST

/* What only goes with the Execute that is asked about may wait for it; what the server answers before, or what runs, may not. */
START_TEST(may_wait) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    ck_assert(!flt_may_hold(t.f));
    talk_client(&t, "Ps'later' S");
    ck_assert(flt_may_hold(t.f)); /* there is nothing */
    talk_release(&t, true);
    ck_assert(!flt_may_hold(t.f));
    talk_server(&t, "1 ZI");
    talk_client(&t, "Bp,s DPp Ep S");
    ck_assert(flt_may_hold(t.f));
    talk_release(&t, true);
    ck_assert(!flt_may_hold(t.f));
    talk_server(&t, "2 T C'SELECT 1' ZI");
    talk_client(&t, "Bp,s H Ep S"); /* the client wants to know about its Bind first */
    ck_assert(!flt_may_hold(t.f));
    talk_release(&t, true);
    talk_server(&t, "2 C'SELECT 1' ZI");
    talk_client(&t, "Bp,s Ep Ep S"); /* the first one runs meanwhile */
    ck_assert(flt_may_hold(t.f));
    talk_release(&t, true);
    ck_assert(!flt_may_hold(t.f));
    talk_release(&t, true);
    talk_server(&t, "2 C'SELECT 1' C'SELECT 1' ZI");
    talk_client(&t, "Bp,s Ep S Bq,s Eq S"); /* likewise behind a Sync */
    talk_release(&t, true);
    ck_assert(!flt_may_hold(t.f));
    talk_release(&t, false);
    ck_assert(!flt_may_hold(t.f));
    talk_end(&t);
}
END_TEST

int main(void) {
    Suite *s = suite_create("pg_ask");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, alone, 0, CHOPS);
    tcase_add_loop_test(t, types, 0, CHOPS);
    tcase_add_loop_test(t, may_wait, 0, CHOPS);
    suite_add_tcase(s, t);
    return run_suite(s);
}
