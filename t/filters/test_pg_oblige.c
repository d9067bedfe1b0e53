/* What a filter owes to a client from whom data is hidden: veiled errors and notices; and results that are over their limit. */
#include "filters/pg_veil.h"
#include "filters/pg_wire.h"
#include "t/filters/pg_talk.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <string.h>

static const size_t chops[] = {0, 1, SIZE_MAX, 7};
#define CHOPS ((int)(sizeof chops / sizeof *chops))

/* --- the veil alone: fields, separated by '|', in and out; NULL: nothing is sent --- */

#define KEPT_DETAIL "DGatehouse withholds the database's own words: they may quote data that is hidden from you."
static const struct {
    char type;
    const char *in, *out;
    bool positions;
} veils[] = {
    /* found in the text: as it is */
    {'E', "SERROR|VERROR|C42703|Mcolumn \"x\" does not exist|HPerhaps y.|P8|Fparse_relation.c|L3|Rf",
     "SERROR|VERROR|C42703|Mcolumn \"x\" does not exist|HPerhaps y.|P8|Fparse_relation.c|L3|Rf", true},
    {'E', "SERROR|C22P02|Minvalid input syntax for type integer: \"abc\"|P8",
     "SERROR|C22P02|Minvalid input syntax for type integer: \"abc\"", false},
    /* found in data */
    {'E', "SERROR|C22P02|Minvalid input syntax for type integer: \"secret\"",
     "SERROR|C22P02|Minvalid input syntax for type integer|" KEPT_DETAIL, true},
    {'E', "SERROR|C22P02|Minvalid input syntax for type double precision: \"secret\"",
     "SERROR|C22P02|Minvalid input syntax for type double precision|" KEPT_DETAIL, true},
    {'E', "SERROR|C22P02|Minvalid input value for enum mood: \"secret\"",
     "SERROR|C22P02|Minvalid text representation: a value does not have the form that its type asks for|" KEPT_DETAIL, true},
    {'E', "SERROR|C22P02|Minvalid input syntax for type \"Secret\": \"x\"",
     "SERROR|C22P02|Minvalid text representation: a value does not have the form that its type asks for|" KEPT_DETAIL, true},
    {'E', "SERROR|C22001|Mvalue too long for type character varying(3)",
     "SERROR|C22001|Mvalue too long for type character varying(3)|" KEPT_DETAIL, true},
    {'E', "SERROR|C22003|Mvalue \"99999999999\" is out of range for type integer", "SERROR|C22003|Mnumeric value out of range|" KEPT_DETAIL,
     true},
    {'E', "SERROR|C22003|Minteger out of range", "SERROR|C22003|Minteger out of range", true},
    {'E', "SERROR|C22012|Mdivision by zero", "SERROR|C22012|Mdivision by zero", true},
    {'E', "SERROR|C22012|Mdivision by secret", "SERROR|C22012|Mdivision by zero|" KEPT_DETAIL, true},
    {'E', "SERROR|C22Z99|Msecret", "SERROR|C22Z99|Mdata exception: a value does not fit what the statement does with it|" KEPT_DETAIL,
     true},
    /* a position in code of the database's, or a context: not the text's */
    {'E', "SERROR|C42P01|Mrelation \"secret\" does not exist|p8|qSELECT secret|WPL/pgSQL function f() line 3",
     "SERROR|C42P01|Msyntax error or access rule violation|" KEPT_DETAIL, true},
    {'E', "SERROR|C22P02|Minvalid input syntax for type integer: \"secret\"|P8|WSQL function \"f\"",
     "SERROR|C22P02|Minvalid input syntax for type integer|" KEPT_DETAIL, true},
    {'E', "SERROR|CP0001|Msecret|Dsecret|Hsecret|ssecret|tsecret|csecret|nsecret|WPL/pgSQL function f() line 1 at RAISE",
     "SERROR|CP0001|Man error was raised by code in the database|" KEPT_DETAIL, true},
    {'E', "SERROR|CP0001|Minvalid input syntax for type integer: \"x\"|WPL/pgSQL",
     "SERROR|CP0001|Man error was raised by code in the database|" KEPT_DETAIL, true},
    {'E', "SERROR|CZZ999|Msecret", "SERROR|CZZ999|Man error of the database|" KEPT_DETAIL, true},
    {'E', "SERROR|Msecret", "SERROR|Man error of the database|" KEPT_DETAIL, true},
    /* constraints: the name, not the values */
    {'E',
     "SERROR|C23505|Mduplicate key value violates unique constraint \"c_key\"|DKey (email)=(secret) already "
     "exists.|spublic|tcustomers|nc_key",
     "SERROR|C23505|Mduplicate key value violates unique constraint \"c_key\"|spublic|tcustomers|nc_key", true},
    {'E', "SERROR|C23514|Mnew row for relation \"t\" violates check constraint \"c\"|DFailing row contains (secret).|tt|nc",
     "SERROR|C23514|Mnew row for relation \"t\" violates check constraint \"c\"|tt|nc", true},
    {'E', "SERROR|C23505|Msecret|DKey", "SERROR|C23505|Munique violation|" KEPT_DETAIL, true},
    {'E', "SERROR|C23505|Mduplicate key value violates unique constraint \"secret\"|WPL/pgSQL",
     "SERROR|C23505|Munique violation|" KEPT_DETAIL, true},
    {'E', "SERROR|C40P01|Mdeadlock detected|DProcess 1 waits|HSee server log", "SERROR|C40P01|Mdeadlock detected", true},
    {'E', "SFATAL|VFATAL|C57P01|Mterminating connection due to administrator command",
     "SFATAL|VFATAL|C57P01|Mterminating connection due to administrator command", true},
    /* notices */
    {'N', "SNOTICE|VNOTICE|C42P07|Mrelation \"t\" already exists, skipping",
     "SNOTICE|VNOTICE|C42P07|Mrelation \"t\" already exists, skipping", true},
    {'N', "SNOTICE|VNOTICE|C00000|Mtable \"t\" does not exist, skipping", "SNOTICE|VNOTICE|C00000|Mtable \"t\" does not exist, skipping",
     true},
    {'N', "SNOTICE|VNOTICE|C00000|Mduration: 0.1 ms  plan: secret", NULL, true},
    {'N', "SNOTICE|VNOTICE|C00000|Msecret|WPL/pgSQL function f() line 1 at RAISE", NULL, true},
    {'N', "SWARNING|VWARNING|C01000|Msecret", NULL, true},
    {'N', "SLOG|VLOG|C00000|Mplan: secret", NULL, true},
    {'N', "SHINWEIS|VLOG|C00000|Mplan: secret", NULL, true},
    {'N', "SDEBUG|VDEBUG1|C00000|Msecret", NULL, true},
    {'N', "SINFO|VINFO|C00000|Msecret", NULL, true},
};

/* Fields as they are on the wire: '|' for NUL. */
static size_t wire(const char *text, uint8_t *out) {
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) out[i] = text[i] == '|' ? 0 : (uint8_t)text[i];
    out[n] = out[n + 1] = 0;
    return n + 2;
}

START_TEST(veiled) {
    uint8_t in[1024], want[1024];
    bool bad = true;
    struct buf out = BUF_INIT(4096);
    size_t n = wire(veils[_i].in, in);
    uint8_t *p = guard_copy(in, n);
    bool sent = pg_veil(veils[_i].type, cur_of(p, n), &(struct pg_where){.as_sent = veils[_i].positions}, &out, &bad);
    ck_assert(!bad);
    guard_free(p, n);
    ck_assert_int_eq(sent, veils[_i].out != NULL);
    if (!sent) {
        ck_assert_uint_eq(buf_used(&out), 0);
        return;
    }
    size_t m = wire(veils[_i].out, want);
    ck_assert_uint_eq(buf_used(&out), 5 + m);
    ck_assert_uint_eq(buf_at(&out)[0], (uint8_t)veils[_i].type);
    ck_assert_msg(memcmp(buf_at(&out) + 5, want, m) == 0, "%s", veils[_i].in);
    /* Cut anywhere it is refused whole. */
    for (size_t cut = 0; cut < n; cut++) {
        p = guard_copy(in, cut);
        buf_reset(&out);
        ck_assert(!pg_veil(veils[_i].type, cur_of(p, cut), &(struct pg_where){.as_sent = true}, &out, &bad) && bad);
        ck_assert_uint_eq(buf_used(&out), 0);
        guard_free(p, cut);
    }
    buf_free(&out);
}
END_TEST

/* Positions in a rewritten text: what the client sent has its own place, what was put there has none. */
START_TEST(positions_are_put_back) {
    static const struct gh_piece pieces[] = {{0, 10, 0}, {50, 5, 12}, {70, 1, 17}};
    static const struct {
        const char *server, *client;
    } cases[] = {{"1", "1"},   {"10", "10"}, {"11", NULL}, {"50", NULL},         {"51", "13"},
                 {"55", "17"}, {"56", NULL}, {"71", "18"}, {"72", NULL},         {"0", NULL},
                 {"", NULL},   {"-1", NULL}, {"1x", NULL}, {"4294967297", NULL}, {"99999999999999999999", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t in[200], want[200];
        char text[100];
        bool bad;
        struct buf out = BUF_INIT(4096);
        snprintf(text, sizeof text, "SERROR|C42703|Mcolumn|P%s", cases[i].server);
        size_t n = wire(text, in);
        snprintf(text, sizeof text, cases[i].client != NULL ? "SERROR|C42703|Mcolumn|P%s" : "SERROR|C42703|Mcolumn", cases[i].client);
        size_t m = wire(text, want);
        ck_assert(pg_veil('E', cur_of(in, n), &(struct pg_where){.pieces = pieces, .npieces = 3}, &out, &bad) && !bad);
        ck_assert_msg(buf_used(&out) == 5 + m && memcmp(buf_at(&out) + 5, want, m) == 0, "%s", cases[i].server);
        buf_free(&out);
    }
}
END_TEST

/* --- the veil in a session; the talk's own client asserts that "secret" never comes --- */

START_TEST(veil_in_every_state) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'veil'");
    talk_server(&t, "N00000'Wsecret' E22P02'Dsecret|Wsecret' ZI");
    talk_expect(&t, FLT_CLIENT, "E22P02 ZI");
    talk_client(&t, "P'veil' B, DP E S");
    talk_server(&t, "1 N42P07'Dsecret|Wfunction' 2 n E23505'Dsecret' ZI");
    talk_expect(&t, FLT_CLIENT, "1 2 n E23505 ZI");
    talk_client(&t, "Q'refuse' Q'veil'"); /* a refusal is no server's error */
    talk_server(&t, "E34000'Dsecret' ZI N00000'Wsecret' C'SELECT 1' ZI E!57P01'Dsecret'");
    talk_expect(&t, FLT_CLIENT, "E42501 ZI C'SELECT 1' ZI E!57P01");
    talk_end(&t);
}
END_TEST

START_TEST(veil_is_lifted_when_nothing_is_under_way) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'veil' S P'plain' S");
    talk_server(&t, "E42601'Wsecret' ZI E42601'Wsecret' ZI");
    talk_expect(&t, FLT_CLIENT, "E42601 ZI E42601 ZI");
    talk_client(&t, "Q'plain'");
    talk_server(&t, "N00000'Dopen' E22P02'Dopen' ZI");
    talk_expect(&t, FLT_CLIENT, "N E22P02 ZI");
    talk_end(&t);
}
END_TEST

START_TEST(veiled_nonsense) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'veil'");
    talk_raw(&t, FLT_SERVER, "N\0\0\0\x08MNUL", 9);
    talk_expect(&t, FLT_CLIENT, "E!08P01");
    ck_assert(t.closed);
    talk_end(&t);
}
END_TEST

/* --- limits --- */

START_TEST(rows_over_in_a_query) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'rows 2' Q'next'");
    talk_server(&t, "T D'1' D'2'");
    talk_expect(&t, FLT_CLIENT, "T D'1' D'2'");
    talk_server(&t, "D'secret' D'secret' C'SELECT 4' ZI"); /* had all of it sent before anybody could stop it */
    talk_expect(&t, FLT_CLIENT, "");
    talk_expect(&t, FLT_SERVER, "Q'rows 2' DP(poison) S Q'next'");
    talk_server(&t, "E34000 ZI C'SELECT 1' ZI");
    talk_expect(&t, FLT_CLIENT, "E53400 ZI C'SELECT 1' ZI");
    talk_events(&t, "query rows 2\nover 2\nresult 2 rows 2 bytes 2 '53400'\nquery next\nresult 3 rows 0 bytes 0 '00000'\n");
    ck_assert(flt_idle(t.f));
    talk_end(&t);
}
END_TEST

START_TEST(rows_that_fit) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'rows 2' P'rows 2' B, DP E S");
    talk_server(&t, "T D'1' D'2' C'SELECT 2' ZI");
    talk_expect(&t, FLT_SERVER, "Q'rows 2' P'rows 2' B, DP E'' H");
    talk_server(&t, "1 2 T D'1' D'2' C'SELECT 2'");
    talk_expect(&t, FLT_SERVER, "S"); /* only now */
    talk_server(&t, "ZI");
    talk_expect(&t, FLT_CLIENT, "T D'1' D'2' C'SELECT 2' ZI 1 2 T D'1' D'2' C'SELECT 2' ZI");
    talk_end(&t);
}
END_TEST

/* The server was stopped in time: its error is ours. */
START_TEST(bytes_over_and_cancelled) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    t.cancelling = true;
    talk_client(&t, "Q'begin' Q'bytes 5' Q'next'");
    talk_server(&t, "C'BEGIN' ZT T D'123' D'45' D'secret' D'secret'");
    talk_server(&t, "E57014 ZE");
    talk_expect(&t, FLT_CLIENT, "C'BEGIN' ZT T D'123' D'45' E53400 ZE");
    talk_expect(&t, FLT_SERVER, "Q'begin' Q'bytes 5'"); /* a cancel that is late must not meet the next statement */
    flt_over(t.f);
    talk_client(&t, "S");
    talk_expect(&t, FLT_SERVER, "Q'next'");
    talk_events(&t, "query begin\nresult 2 rows 0 bytes 0 '00000'\nquery bytes 5\nover 3\nresult 3 rows 2 bytes 5 '53400'\nquery next\n");
    talk_end(&t);
}
END_TEST

/* What was done in the pipeline before is undone, what comes behind it is not done. */
START_TEST(rows_over_in_a_pipeline) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'insert' B, E P'rows 1' B, E P'insert' B, E S Q'next'");
    talk_expect(&t, FLT_SERVER, "P'insert' B, E'' P'rows 1' B, E'' H");
    talk_server(&t, "1 2 C'INSERT 0 1' 1 2 D'1' D'secret' C'SELECT 2'");
    talk_expect(&t, FLT_SERVER, "DP(poison) H S Q'next'");
    talk_server(&t, "E34000 ZI C'SELECT 1' ZI");
    talk_expect(&t, FLT_CLIENT, "1 2 C'INSERT 0 1' 1 2 D'1' E53400 ZI C'SELECT 1' ZI");
    talk_end(&t);
}
END_TEST

START_TEST(rows_over_in_a_copy) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'rows 1'");
    talk_server(&t, "H d'1' d'secret' c C'COPY 2' ZI");
    talk_expect(&t, FLT_SERVER, "Q'rows 1' DP(poison) S");
    talk_server(&t, "E34000 ZI");
    talk_expect(&t, FLT_CLIENT, "H d'1' E53400 ZI");
    talk_end(&t);
}
END_TEST

START_TEST(time_is_over) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    ck_assert(!flt_overrun(t.f));
    talk_client(&t, "Q'limited'");
    talk_server(&t, "T D'1'");
    ck_assert(flt_in_transaction(t.f)); /* its own, until it has ended */
    ck_assert(flt_overrun(t.f));
    ck_assert(!flt_overrun(t.f)); /* once */
    talk_server(&t, "D'secret' E57014 ZI");
    talk_expect(&t, FLT_CLIENT, "T D'1' E53400 ZI");
    ck_assert(!flt_in_transaction(t.f));
    talk_client(&t, "P'plain' B, E");
    ck_assert(!flt_overrun(t.f)); /* not limited */
    talk_server(&t, "1 2 D'1' C'SELECT 1'");
    talk_end(&t);
}
END_TEST

/* A Query by itself has committed when its rows are here; in a block, and as an Execute, it can be undone. */
START_TEST(changes_that_return_rows) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'undoes rows 1'");
    talk_expect(&t, FLT_SERVER, "DP(poison) S"); /* it is not sent */
    talk_server(&t, "E34000 ZI");
    talk_expect(&t, FLT_CLIENT, "E0A000 ZI");
    talk_client(&t, "Q'begin' Q'undoes rows 1'");
    talk_expect(&t, FLT_SERVER, "Q'begin'");
    talk_server(&t, "C'BEGIN' ZT");
    talk_expect(&t, FLT_SERVER, "Q'undoes rows 1'");
    talk_server(&t, "T D'1' D'secret' C'UPDATE 2' ZT");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZE");
    talk_expect(&t, FLT_CLIENT, "C'BEGIN' ZT T D'1' E53400 ZE");
    talk_client(&t, "P'commit' B, E S Q'undoes rows 1'"); /* what the last ReadyForQuery said counts no more */
    talk_expect(&t, FLT_SERVER, "P'commit' B, E'' S H");
    talk_server(&t, "1 2 C'ROLLBACK' ZI");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZI");
    talk_expect(&t, FLT_CLIENT, "1 2 C'ROLLBACK' ZI E0A000 ZI");
    talk_client(&t, "P'undoes rows 1' B, E S");
    talk_server(&t, "1 2 D'1' D'secret' C'UPDATE 2'");
    talk_expect(&t, FLT_SERVER, "P'undoes rows 1' B, E'' H DP(poison) H S");
    talk_server(&t, "E34000 ZI");
    talk_expect(&t, FLT_CLIENT, "1 2 D'1' E53400 ZI");
    ck_assert(flt_idle(t.f));
    talk_end(&t);
}
END_TEST

/* What was done when it was to be stopped is done, and the client hears that. */
START_TEST(time_is_over_too_late) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'limited'");
    ck_assert(flt_overrun(t.f));
    talk_server(&t, "C'UPDATE 3' ZI");
    talk_expect(&t, FLT_CLIENT, "C'UPDATE 3' ZI");
    talk_expect(&t, FLT_SERVER, "Q'limited'");
    talk_events(&t, "query limited\nover 2\nresult 2 rows 3 bytes 0 '00000'\n");
    talk_client(&t, "Q'limited'");
    ck_assert(flt_overrun(t.f));
    talk_server(&t, "T D'secret' C'SELECT 1' ZI");
    talk_expect(&t, FLT_SERVER, "Q'limited' DP(poison) S");
    talk_server(&t, "E34000 ZI");
    talk_expect(&t, FLT_CLIENT, "T E53400 ZI");
    talk_end(&t);
}
END_TEST

/* An error of the server's own, or its end, while rows are dropped. */
START_TEST(over_and_lost) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'rows 1' B, E S");
    talk_server(&t, "1 2 D'1' D'secret' E!57P01");
    talk_expect(&t, FLT_CLIENT, "1 2 D'1' E!57P01");
    flt_eof(t.f, FLT_SERVER);
    talk_client(&t, "S");
    ck_assert(t.closed);
    talk_end(&t);
}
END_TEST

int main(void) {
    Suite *s = suite_create("pg_oblige");
    TCase *c = tcase_create("pg_oblige");
    tcase_add_loop_test(c, veiled, 0, sizeof veils / sizeof *veils);
    tcase_add_test(c, positions_are_put_back);
#define EACH(name) tcase_add_loop_test(c, name, 0, CHOPS)
    EACH(veil_in_every_state);
    EACH(veil_is_lifted_when_nothing_is_under_way);
    EACH(veiled_nonsense);
    EACH(rows_over_in_a_query);
    EACH(rows_that_fit);
    EACH(bytes_over_and_cancelled);
    EACH(rows_over_in_a_pipeline);
    EACH(rows_over_in_a_copy);
    EACH(time_is_over);
    EACH(time_is_over_too_late);
    EACH(changes_that_return_rows);
    EACH(over_and_lost);
    suite_add_tcase(s, c);
    return run_suite(s);
}
