/* Conversations with the PostgreSQL filter: each runs whole, byte by byte and in random pieces, from memory that ends at a guard page. */
#include "t/filters/pg_talk.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t chops[] = {0, 1, SIZE_MAX, 7};
#define CHOPS ((int)(sizeof chops / sizeof *chops))

START_TEST(refused_query_poisons) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'begin'");
    talk_server(&t, "C'BEGIN' ZT");
    talk_client(&t, "Q'refuse' Q'next'");
    talk_expect(&t, FLT_SERVER, "Q'begin' DP(poison) S Q'next'");
    talk_server(&t, "E34000 ZE E25P02 ZE");
    talk_expect(&t, FLT_CLIENT, "C'BEGIN' ZT E42501 ZE E25P02 ZE");
    ck_assert(!flt_idle(t.f));
    talk_events(&t, "query begin\nresult 2 rows 0 bytes 0 '00000'\nquery refuse\nquery next\nresult 4 rows 0 bytes 0 '25P02'\n");
    talk_end(&t);
}
END_TEST

/* A refused statement at each position of a pipeline of three: what follows it up to Sync never leaves, what preceded is undone by the server. */
START_TEST(refused_in_a_pipeline) {
    for (int bad = 0; bad < 3; bad++) {
        struct talk t;
        char say[400] = "", sent[400] = "", server[400] = "", client[400] = "";
        talk_start(&t, chops[_i], NULL);
        talk_ready(&t);
        for (int i = 0; i < 3; i++) {
            char one[64];
            snprintf(one, sizeof one, "P'%s%d' B, DP E ", i == bad ? "refuse" : "insert", i);
            strcat(say, one);
            if (i > bad) continue;
            snprintf(one, sizeof one, i == bad ? "DP(poison) " : "P'insert%d' B, DP E'' ", i);
            strcat(sent, one);
            strcat(server, i == bad ? "E34000 " : "1 2 n C'INSERT 0 1' ");
            strcat(client, i == bad ? "E42501 " : "1 2 n C'INSERT 0 1' ");
        }
        strcat(say, "S P'after' B, E S");
        strcat(sent, "S P'after' B, E'' S");
        strcat(server, "ZI 1 2 C'SELECT 1' ZI");
        strcat(client, "ZI 1 2 C'SELECT 1' ZI");
        talk_client(&t, say);
        talk_expect(&t, FLT_SERVER, sent);
        talk_server(&t, server);
        talk_expect(&t, FLT_CLIENT, client);
        ck_assert(flt_idle(t.f));
        talk_end(&t);
    }
}
END_TEST

START_TEST(refused_behind_a_server_error) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'bad' P'refuse' S");
    talk_expect(&t, FLT_SERVER, "P'bad' DP(poison) S");
    talk_server(&t, "E42601 ZI"); /* the server skipped the poison */
    talk_expect(&t, FLT_CLIENT, "E42601 ZI");
    talk_client(&t, "B, E S"); /* the unnamed statement never came to be */
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZI");
    talk_expect(&t, FLT_CLIENT, "E26000 ZI");
    talk_end(&t);
}
END_TEST

START_TEST(errors_skip_to_sync) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Pa'one' B,a E Pb'two' B,b E");
    talk_server(&t, "1 2 E22012"); /* not synced yet: what comes now is dropped here as there */
    talk_client(&t, "Pc'three' Q'four' B,c E S Pd'five' S");
    talk_expect(&t, FLT_SERVER, "Pa'one' B,a E'' Pb'two' B,b E'' S Pd'five' S");
    talk_server(&t, "ZI 1 ZI");
    talk_expect(&t, FLT_CLIENT, "1 2 E22012 ZI 1 ZI");
    talk_events(&t, "prepare one\nexecute one\nprepare two\nexecute two\nresult 3 rows 0 bytes 0 '22012'\nresult 5 rows 0 bytes 0 '' "
                    "skipped\nprepare five\n");
    talk_client(&t, "B,b S"); /* b was skipped, a lives */
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZI");
    talk_client(&t, "B,a S");
    talk_expect(&t, FLT_SERVER, "B,a S");
    talk_end(&t);
}
END_TEST

/* The unnamed statement is A; a pipeline replaces it by B but fails before; the next pipeline, sent ahead, runs A and must be recorded as A. */
START_TEST(names_wait_for_the_earlier_pipeline) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'A' S");
    talk_server(&t, "1 ZI");
    talk_client(&t, "B, E P'B' S B, E S");
    talk_saw(&t, FLT_SERVER);
    t.events[t.events_len = 0] = '\0';
    talk_server(&t, "2 E22012 ZI");
    talk_expect(&t, FLT_SERVER, "B, E'' S");
    talk_events(&t, "result 3 rows 0 bytes 0 '22012'\nexecute A\n");
    talk_server(&t, "2 C'SELECT 1' ZI");
    talk_client(&t, "Q'simple'"); /* drops the unnamed statement */
    talk_server(&t, "C'SELECT 1' ZI");
    talk_saw(&t, FLT_SERVER);
    talk_client(&t, "B, S");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_end(&t);
}
END_TEST

START_TEST(reparse_of_a_living_name) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Pn'A' S");
    talk_server(&t, "1 ZI");
    talk_client(&t, "Pn'B' S B,n E S"); /* the server refuses the second: the name keeps A */
    talk_saw(&t, FLT_SERVER);
    t.events[t.events_len = 0] = '\0';
    talk_server(&t, "E42P05 ZI");
    talk_expect(&t, FLT_SERVER, "B,n E'' S");
    talk_events(&t, "execute A\n");
    talk_server(&t, "2 C'SELECT 1' ZI");
    talk_client(&t, "CSn Pn'C' B,n E S"); /* closed and made again in one pipeline */
    talk_events(&t, "result 4 rows 0 bytes 0 '00000'\nprepare C\nexecute C\n");
    talk_server(&t, "3 1 2 C'SELECT 1' ZI");
    talk_client(&t, "B,n E S");
    talk_events(&t, "result 6 rows 0 bytes 0 '00000'\nexecute C\n");
    talk_end(&t);
}
END_TEST

START_TEST(long_names_are_refused) {
    struct talk t;
    char say[300];
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    snprintf(say, sizeof say, "P%064d'A' S", 1);
    talk_client(&t, say);
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZI");
    talk_expect(&t, FLT_CLIENT, "E42622 ZI");
    snprintf(say, sizeof say, "P%063d'A' S", 1);
    talk_client(&t, say);
    talk_events(&t, "prepare A\n");
    talk_end(&t);
}
END_TEST

START_TEST(sql_deallocate_forgets) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Pgone'A' Pkeep'B' P'deallocate gone' B, E S");
    talk_expect(&t, FLT_SERVER, "Pgone'A' Pkeep'B' P'deallocate gone' B, H");
    talk_server(&t, "1 1 1 2"); /* only now every name's fate is known */
    talk_expect(&t, FLT_SERVER, "E'' S");
    talk_server(&t, "C'DEALLOCATE' ZI");
    talk_client(&t, "B,gone S");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZI");
    talk_client(&t, "B,keep E S");
    talk_expect(&t, FLT_SERVER, "B,keep E'' S");
    talk_server(&t, "2 C'SELECT 0' ZI");
    talk_client(&t, "Q'discard all'");
    talk_server(&t, "C'DISCARD ALL' ZI");
    talk_saw(&t, FLT_SERVER);
    talk_client(&t, "B,keep S");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_end(&t);
}
END_TEST

START_TEST(portals_end_with_their_transaction) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Pa'one' Bp,a Ep S");
    talk_server(&t, "1 2 s ZI");
    talk_saw(&t, FLT_SERVER);
    talk_client(&t, "Ep S");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZI");
    talk_saw(&t, FLT_CLIENT);
    talk_client(&t, "Q'begin'");
    talk_server(&t, "C'BEGIN' ZT");
    talk_client(&t, "Bp,a Ep S");
    talk_server(&t, "2 D'x' s ZT");
    talk_client(&t, "Ep S");
    talk_server(&t, "D'y' C'SELECT 1' ZT");
    talk_expect(&t, FLT_CLIENT, "C'BEGIN' ZT 2 D'x' s ZT D'y' C'SELECT 1' ZT");
    talk_end(&t);
}
END_TEST

START_TEST(copy_in_by_query) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "d'stray' c f'stray' Q'copyin' d'early' d'more' S H c Q'next'");
    talk_expect(&t, FLT_SERVER, "Q'copyin'"); /* data is data only once the server says so */
    talk_server(&t, "G");
    talk_expect(&t, FLT_SERVER, "d'early' d'more' c");
    talk_server(&t, "C'COPY 2' ZI");
    talk_expect(&t, FLT_SERVER, "Q'next'");
    talk_expect(&t, FLT_CLIENT, "G C'COPY 2' ZI");
    talk_events(&t, "query copyin\nresult 2 rows 2 bytes 9 '00000'\nquery next\n");
    talk_end(&t);
}
END_TEST

START_TEST(copy_in_that_fails) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'copyin' d'a'");
    talk_server(&t, "G E22P02 ZI");
    talk_client(&t, "d'b' d'c' c Q'after'"); /* what the server would ignore stays here */
    talk_expect(&t, FLT_SERVER, "Q'copyin' d'a' Q'after'");
    talk_expect(&t, FLT_CLIENT, "G E22P02 ZI");
    talk_end(&t);
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'refuse copyin' d'b' c Q'after'");
    talk_expect(&t, FLT_SERVER, "DP(poison) S Q'after'");
    talk_end(&t);
}
END_TEST

START_TEST(copy_in_extended) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'copyin' B, E S"); /* libpq sends Sync at once, and again after the data */
    talk_expect(&t, FLT_SERVER, "P'copyin' B, E''");
    talk_server(&t, "1 2 G");
    talk_expect(&t, FLT_SERVER, ""); /* a Sync while the server reads data would be ignored by it */
    talk_client(&t, "d'x' d'y' c S Q'after'");
    talk_expect(&t, FLT_SERVER, "d'x' d'y' c S Q'after'");
    talk_server(&t, "C'COPY 2' ZI");
    talk_expect(&t, FLT_CLIENT, "1 2 G C'COPY 2' ZI");
    talk_end(&t);
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'copyin' B, E S");
    talk_server(&t, "1 2 E42501"); /* it never began: the Sync counts */
    talk_expect(&t, FLT_SERVER, "P'copyin' B, E'' S");
    talk_server(&t, "ZI");
    ck_assert(flt_idle(t.f));
    talk_client(&t, "P'copyin' B, E");
    talk_server(&t, "1 2 G");
    talk_client(&t, "Q'smuggled'");
    ck_assert(t.closed);
    talk_expect(&t, FLT_SERVER, "P'copyin' B, E''");
    talk_end(&t);
}
END_TEST

START_TEST(copy_out) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'copy out'");
    talk_server(&t, "H d'1234' d'56' c C'COPY 2' ZI");
    talk_expect(&t, FLT_CLIENT, "H d'1234' d'56' c C'COPY 2' ZI");
    talk_events(&t, "query copy out\nresult 2 rows 2 bytes 6 '00000'\n");
    talk_end(&t);
}
END_TEST

START_TEST(function_call_is_refused) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "F Q'after'");
    talk_expect(&t, FLT_SERVER, "DP(poison) S Q'after'");
    talk_server(&t, "E34000 ZI C'SELECT 1' ZI");
    talk_expect(&t, FLT_CLIENT, "E0A000 ZI C'SELECT 1' ZI");
    talk_end(&t);
}
END_TEST

START_TEST(verdict_later) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'a' B, E P'later' B, E S Q'next'");
    talk_expect(&t, FLT_SERVER, "P'a' B, E''");
    talk_server(&t, "1 2 E22012"); /* the earlier one fails while the question is open */
    talk_release(&t, true);
    talk_expect(&t, FLT_SERVER, "S Q'next'"); /* allowed, but the pipeline is broken already */
    talk_server(&t, "ZI C'SELECT 1' ZI");
    talk_client(&t, "Q'later'");
    talk_expect(&t, FLT_SERVER, "");
    talk_release(&t, false);
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZI");
    talk_client(&t, "Q'later fatally'");
    talk_release(&t, false);
    talk_expect(&t, FLT_CLIENT, "1 2 E22012 ZI C'SELECT 1' ZI E42501 ZI E!42501");
    ck_assert(t.closed);
    talk_expect(&t, FLT_SERVER, "");
    talk_end(&t);
}
END_TEST

START_TEST(closed_with_a_question_open) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'later'");
    flt_eof(t.f, FLT_CLIENT);
    talk_release(&t, true); /* takes the context back: the sanitizer would tell */
    ck_assert(t.closed);
    talk_expect(&t, FLT_SERVER, "");
    talk_end(&t);
}
END_TEST

START_TEST(rewritten_text) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'rewrite me'");
    talk_server(&t, "C'SELECT 1' ZI");
    talk_client(&t, "Pn'rewrite me' B,n E S");
    talk_expect(&t, FLT_SERVER, "Q'select 'masked'' Pn'select 'masked'' B,n E'' S");
    talk_events(&t, "query rewrite me\nresult 2 rows 0 bytes 0 '00000'\nprepare rewrite me\nexecute rewrite me\n");
    talk_end(&t);
}
END_TEST

START_TEST(secret_text) {
    /* What is kept of it, and told at each Execute, is what the server got. */
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'secret'");
    talk_server(&t, "C'SELECT 1' ZI");
    talk_client(&t, "Pn'secret' B,n E S");
    talk_expect(&t, FLT_SERVER, "Q'select 'masked'' Pn'select 'masked'' B,n E'' S");
    talk_events(&t, "query secret\nresult 2 rows 0 bytes 0 '00000'\nprepare secret\nexecute select 'masked'\n");
    talk_end(&t);
}
END_TEST

START_TEST(long_texts_and_binds) {
    struct talk t;
    struct flt_limits limits = {.statement = 1000, .params = 8};
    talk_start(&t, chops[_i], &limits);
    talk_ready(&t);
    char *say = malloc(400000);
    sprintf(say, "Q'%01001d' P'%01001d' S Q'after'", 1, 1);
    talk_client(&t, say);
    talk_expect(&t, FLT_SERVER, "DP(poison) S DP(poison) S Q'after'");
    talk_server(&t, "E34000 ZI E34000 ZI C'SELECT 1' ZI");
    talk_expect(&t, FLT_CLIENT, "E54000 ZI E54000 ZI C'SELECT 1' ZI");
    sprintf(say, "Q'%01000d'", 1);
    talk_client(&t, say);
    talk_server(&t, "C'SELECT 1' ZI");
    ck_assert_str_ne(talk_saw(&t, FLT_SERVER), "");
    talk_client(&t, "P'p' B,'0123456789' E S");
    talk_server(&t, "1 2 C'SELECT 1' ZI");
    ck_assert_ptr_nonnull(strstr(t.events, "execute p 01234567...\n"));
    free(say);
    talk_saw(&t, FLT_SERVER);
    /* Two megabytes in one Bind: streamed, its start kept for the record. */
    size_t big = 2u << 20;
    struct buf b = BUF_INIT(8u << 20);
    buf_u8(&b, 'B');
    buf_be32(&b, (uint32_t)(4 + 2 + 2 + 2 + 4 + big + 2));
    buf_put(&b, "\0\0\0\0\0\1", 6);
    buf_be32(&b, (uint32_t)big);
    memset(buf_reserve(&b, big), 'x', big);
    buf_commit(&b, big);
    buf_be16(&b, 0);
    if (_i != 1) {
        talk_client(&t, "P'p'");
        talk_saw(&t, FLT_SERVER);
        size_t sent = 0, got = 0;
        while (sent < buf_used(&b)) {
            size_t n = buf_used(&b) - sent < 60000 ? buf_used(&b) - sent : 60000;
            talk_raw(&t, FLT_CLIENT, buf_at(&b) + sent, n);
            sent += n;
            got += buf_used(flt_out(t.f, FLT_SERVER));
            buf_drain(flt_out(t.f, FLT_SERVER), buf_used(flt_out(t.f, FLT_SERVER)));
            talk_raw(&t, FLT_CLIENT, NULL, 0);
        }
        ck_assert_uint_eq(got, buf_used(&b));
        talk_client(&t, "E S");
        ck_assert_ptr_nonnull(strstr(t.events, "execute p xxxxxxxx... cut\n"));
        talk_expect(&t, FLT_SERVER, "E'' S");
    }
    buf_free(&b);
    talk_end(&t);
}
END_TEST

START_TEST(limits_on_names_and_flight) {
    struct talk t;
    struct flt_limits limits = {.statements = 3, .inflight = 8};
    talk_start(&t, chops[_i], &limits);
    talk_ready(&t);
    talk_client(&t, "Pa'1' Pb'2' Pc'3' Pd'4' S");
    talk_expect(&t, FLT_SERVER, "Pa'1' Pb'2' Pc'3' DP(poison) S");
    talk_server(&t, "1 1 1 E34000 ZI");
    talk_expect(&t, FLT_CLIENT, "1 1 1 E54000 ZI");
    talk_client(&t, "B,a B,a B,a B,a B,a B,a B,a B,a B,a S"); /* never synced: a Flush makes the server answer */
    talk_expect(&t, FLT_SERVER, "B,a B,a B,a B,a B,a B,a B,a B,a H");
    talk_server(&t, "2 2 2 2");
    talk_expect(&t, FLT_SERVER, "B,a S");
    talk_end(&t);
}
END_TEST

START_TEST(upstream_trouble) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.upstream_down = true;
    talk_login(&t);
    talk_saw(&t, FLT_CLIENT);
    talk_client(&t, "Q'one'");
    talk_expect(&t, FLT_CLIENT, "E08006 ZI");
    t.upstream_down = false;
    talk_client(&t, "Q'two'");
    talk_server(&t, "E!28P01"); /* the server's own words stay with the owner */
    talk_expect(&t, FLT_CLIENT, "E08006 ZI");
    flt_eof(t.f, FLT_SERVER);
    talk_client(&t, "P'three' S");
    talk_server(&t, "R0 Sclient_encoding=LATIN1"); /* not as pinned */
    talk_expect(&t, FLT_CLIENT, "E08006 ZI");
    talk_events(&t, "login ann@shop token\nquery one\nupstream\nresult 1 rows 0 bytes 0 '' skipped\nquery two\nupstream\n"
                    "upstream lost 28P01 server\nresult 2 rows 0 bytes 0 '' skipped\nprepare three\nupstream\n"
                    "upstream lost 08P01 the server does not take a pinned setting (client_encoding, standard_conforming_strings), or its "
                    "database is not in UTF8\n");
    talk_client(&t, "Q'four'");
    talk_server(&t, "R0 K ZI");
    talk_server(&t, "D'1'");
    flt_eof(t.f, FLT_SERVER);
    talk_raw(&t, FLT_CLIENT, NULL, 0);
    talk_expect(&t, FLT_CLIENT, "D'1' E!08006");
    talk_events(&t, "query four\nupstream\nupstream ready 0\nresult 4 rows 1 bytes 1 ''\nclose ok: the server closed the connection\n");
    talk_end(&t);
}
END_TEST

START_TEST(server_breaks_the_protocol) {
    static const char *const bad[] = {"ZI",          "1", "2", "3", "n",  "s", "D'x'", "d'x'", "T", "t",
                                      "C'SELECT 1'", "G", "H", "c", "R0", "K", "I",    "W",    "V"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_ready(&t);
        talk_server(&t, bad[i]);
        ck_assert_msg(t.closed, "%s", bad[i]);
        talk_expect(&t, FLT_CLIENT, "E!08P01");
        talk_end(&t);
    }
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'refuse'");
    talk_server(&t, "T"); /* the poison must fail */
    ck_assert(t.closed);
    talk_end(&t);
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'set'");
    talk_server(&t, "Sstandard_conforming_strings=off");
    ck_assert(t.closed);
    talk_expect(&t, FLT_CLIENT, "E!55P02");
    talk_end(&t);
}
END_TEST

START_TEST(client_breaks_the_protocol) {
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"Q\0\0\0\3", 5},         {"Q\0\0\0\4", 5},   {"Q\0\0\0\7a\0b", 8}, {"y\0\0\0\4", 5},
        {"Q\xff\xff\xff\xff", 5}, {"P\0\0\0\5\0", 6}, {"P\0\0\0\6\0\0", 7}, {"P\0\0\0\x08\0\0\0\1", 9},
        {"B\0\0\0\4", 5},         {"E\0\0\0\5\0", 6}, {"D\0\0\0\6Xa", 7},   {"D\0\0\0\4", 5},
        {"S\0\0\0\5x", 6},        {"p\0\0\0\5\0", 6}, {"\0\0\0\0\4", 5},    {"C\x7f\0\0\0", 5},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_ready(&t);
        talk_raw(&t, FLT_CLIENT, bad[i].bytes, bad[i].len);
        ck_assert_msg(t.closed || strstr(t.events, "query") == NULL, "vector %zu", i);
        const char *saw = talk_saw(&t, FLT_SERVER);
        ck_assert_msg(saw[0] == '\0' || strcmp(saw, "DP(poison)") == 0, "vector %zu: %s", i, saw);
        ck_assert_msg(t.closed, "vector %zu", i);
        talk_end(&t);
    }
}
END_TEST

START_TEST(malformed_binds) {
    static const char *const bad[] = {
        "0000 0001 0001 0000",                   /* no result formats */
        "0000 0000 0000 0001",                   /* result formats do not fill it */
        "0000 0002 00010001 0001 ffffffff 0000", /* two formats, one parameter */
        "0000 0000 0001 00000005 6161",          /* value shorter than its length */
        "0000 0000 0002 ffffffff",               /* a parameter is missing */
        "0000 0000 0001 7fffffff 61",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t raw[64] = {'B', 0, 0, 0};
        size_t n = unhex(bad[i], raw + 5, sizeof raw - 5);
        raw[4] = (uint8_t)(n + 4);
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_ready(&t);
        talk_client(&t, "P'p'");
        talk_saw(&t, FLT_SERVER);
        talk_raw(&t, FLT_CLIENT, raw, n + 5);
        ck_assert_msg(t.closed, "vector %zu", i);
        talk_expect(&t, FLT_SERVER, "");
        talk_end(&t);
    }
}
END_TEST

START_TEST(copy_in_behind_others) {
    /* What an earlier Execute, or an earlier pipeline's error, gets for an answer does not open the way for data. */
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'one' B, E P'copyin' B, E d'x' c S");
    talk_expect(&t, FLT_SERVER, "P'one' B, E'' P'copyin' B, E''");
    talk_server(&t, "1 2 C'SELECT 1' 1 2");
    talk_expect(&t, FLT_SERVER, "");
    talk_server(&t, "G");
    talk_expect(&t, FLT_SERVER, "d'x' c S");
    talk_server(&t, "C'COPY 1' ZI");
    talk_saw(&t, FLT_CLIENT);
    talk_client(&t, "P'one' B, E S P'copyin' B, E d'x' c S");
    talk_saw(&t, FLT_SERVER);
    talk_server(&t, "1 2 E22012 ZI 1 2");
    talk_expect(&t, FLT_SERVER, "");
    talk_server(&t, "G");
    talk_expect(&t, FLT_SERVER, "d'x' c S");
    talk_end(&t);
}
END_TEST

START_TEST(refused_query_in_an_open_pipeline) {
    /* The server drops a Query behind an error; the Sync of a refusal's own must not end that. */
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'one' B, E Q'refuse' P'insert' B, E S");
    talk_expect(&t, FLT_SERVER, "P'one' B, E'' H");
    talk_server(&t, "1 2 E22012");
    talk_expect(&t, FLT_SERVER, "S");
    talk_server(&t, "ZI");
    talk_expect(&t, FLT_CLIENT, "1 2 E22012 ZI");
    talk_client(&t, "P'one' B, E Q'refuse' P'insert' B, E S");
    talk_saw(&t, FLT_SERVER);
    talk_server(&t, "1 2 C'SELECT 1'");
    talk_expect(&t, FLT_SERVER, "DP(poison) S P'insert' B, E'' S");
    talk_end(&t);
}
END_TEST

START_TEST(refusal_drops_the_unnamed) {
    for (int simple = 0; simple < 2; simple++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_ready(&t);
        talk_client(&t, "P'one' S");
        talk_server(&t, "1 ZI");
        talk_client(&t, simple ? "Q'refuse'" : "P'refuse' S");
        talk_server(&t, "E34000 ZI");
        talk_saw(&t, FLT_SERVER);
        talk_saw(&t, FLT_CLIENT);
        talk_client(&t, "B, E S");
        talk_expect(&t, FLT_SERVER, "DP(poison) S");
        talk_server(&t, "E34000 ZI");
        talk_expect(&t, FLT_CLIENT, "E26000 ZI");
        talk_client(&t, "DS S");
        talk_expect(&t, FLT_SERVER, "DP(poison) S");
        talk_end(&t);
    }
}
END_TEST

START_TEST(query_ends_the_unnamed_portal) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'begin'");
    talk_server(&t, "C'BEGIN' ZT");
    talk_client(&t, "P'one' B, S");
    talk_server(&t, "1 2 ZT");
    talk_client(&t, "Q'one'");
    talk_server(&t, "E22012 ZE");
    talk_saw(&t, FLT_SERVER);
    talk_client(&t, "E S");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZE");
    talk_client(&t, "DP S");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_expect(&t, FLT_CLIENT, "C'BEGIN' ZT 1 2 ZT E22012 ZE E34000 ZE");
    talk_end(&t);
}
END_TEST

/* SQL's FETCH from a Bind's portal runs it: it is asked about as an Execute, with its parameters, each time. */
START_TEST(fetch_from_a_bound_portal_is_an_execute) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'made fetch from p'"); /* a cursor of SQL's */
    talk_expect(&t, FLT_SERVER, "Q'made fetch from p'");
    talk_server(&t, "C'FETCH 1' ZT");
    talk_client(&t, "P'insert' Bp,'value' S Q'fetch from p'");
    talk_saw(&t, FLT_SERVER);
    t.events[t.events_len = 0] = '\0';
    talk_server(&t, "1 2 ZT");
    talk_expect(&t, FLT_SERVER, "Q'fetch from p'");
    talk_server(&t, "D'x' C'FETCH 1' ZT");
    talk_events(&t, "execute insert value\nresult 4 rows 1 bytes 1 '00000'\nresult 5 rows 1 bytes 1 '00000'\n");
    talk_client(&t, "P'fetch from p' B, E S");
    talk_events(&t, "prepare fetch from p\nexecute fetch from p\n");
    talk_server(&t, "1 2"); /* only now it is known what p is */
    talk_events(&t, "execute insert value\n");
    talk_server(&t, "C'FETCH 0' ZT");
    talk_events(&t, "result 7 rows 0 bytes 0 '00000'\nresult 8 rows 0 bytes 0 '00000'\n");
    talk_end(&t);
}
END_TEST

/* SQL's EXECUTE of what a Parse made is asked about as an Execute of it: an answer to Parse alone lets nothing run. */
START_TEST(execute_of_a_parsed_statement_is_an_execute) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'made run s'"); /* by SQL's PREPARE */
    talk_expect(&t, FLT_SERVER, "Q'made run s'");
    talk_server(&t, "C'SELECT 1' ZT");
    talk_client(&t, "Ps'insert' S Q'run s'");
    talk_expect(&t, FLT_SERVER, "Ps'insert' S H"); /* only the server knows what s is by then */
    t.events[t.events_len = 0] = '\0';
    talk_server(&t, "1 ZT");
    talk_expect(&t, FLT_SERVER, "Q'run s'");
    talk_server(&t, "C'INSERT 0 1' ZT");
    talk_events(&t, "execute insert by name\nresult 4 rows 1 bytes 0 '00000'\nresult 5 rows 1 bytes 0 '00000'\n");
    talk_client(&t, "P'run s' B, E S"); /* and in a message of its own */
    talk_events(&t, "prepare run s\nexecute run s\n");
    talk_server(&t, "1 2"); /* only now it is known what s is */
    talk_events(&t, "execute insert by name\n");
    talk_server(&t, "C'INSERT 0 1' ZT");
    talk_events(&t, "result 7 rows 1 bytes 0 '00000'\nresult 8 rows 1 bytes 0 '00000'\n");
    talk_end(&t);
}
END_TEST

START_TEST(execute_of_a_parsed_statement_refused) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Ps'later' S");
    talk_release(&t, true); /* it may be prepared */
    talk_server(&t, "1 ZT");
    talk_saw(&t, FLT_SERVER);
    t.events[t.events_len = 0] = '\0';
    talk_client(&t, "Q'run s'");
    talk_expect(&t, FLT_SERVER, "");
    talk_release(&t, false); /* it may not run */
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_events(&t, "query run s\nexecute later by name\nresult 3 rows 0 bytes 0 '' skipped\n");
    talk_server(&t, "E34000 ZE");
    talk_end(&t);
    /* A statement that executes a statement. */
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Ps'run s' S");
    talk_server(&t, "1 ZT");
    talk_saw(&t, FLT_SERVER);
    t.events[t.events_len = 0] = '\0';
    talk_client(&t, "Q'run s'");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_events(&t, "query run s\nexecute run s by name\nresult 3 rows 0 bytes 0 '' skipped\nresult 4 rows 0 bytes 0 '' skipped\n");
    talk_end(&t);
    /* One that is limited, among others; the limit is kept when it is alone. */
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Ps'rows 1' S");
    talk_server(&t, "1 ZT");
    talk_saw(&t, FLT_SERVER);
    talk_client(&t, "Q'many run s'");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_server(&t, "E34000 ZE");
    talk_saw(&t, FLT_CLIENT);
    talk_client(&t, "Q'run s'");
    talk_expect(&t, FLT_SERVER, "Q'run s'");
    talk_server(&t, "D'x' D'y'");
    talk_expect(&t, FLT_CLIENT, "D'x'");
    talk_end(&t);
}
END_TEST

START_TEST(fetch_from_a_bound_portal_refused) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'later' S");
    talk_release(&t, true);
    talk_server(&t, "1 ZT");
    talk_client(&t, "Bp,'value' S");
    talk_server(&t, "2 ZT");
    talk_saw(&t, FLT_SERVER);
    t.events[t.events_len = 0] = '\0';
    talk_client(&t, "Q'fetch from p'");
    talk_expect(&t, FLT_SERVER, "");
    talk_release(&t, false);
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_events(&t, "query fetch from p\nexecute later value\nresult 3 rows 0 bytes 0 '' skipped\n");
    talk_server(&t, "E34000 ZE");
    talk_end(&t);
    /* A portal that fetches from a portal. */
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'fetch from p' Bp, S");
    talk_server(&t, "1 2 ZT");
    talk_saw(&t, FLT_SERVER);
    t.events[t.events_len = 0] = '\0';
    talk_client(&t, "Q'fetch from p'");
    talk_expect(&t, FLT_SERVER, "DP(poison) S");
    talk_events(&t, "query fetch from p\nexecute fetch from p\nresult 3 rows 0 bytes 0 '' skipped\nresult 4 rows 0 bytes 0 '' skipped\n");
    talk_end(&t);
    /* Closed while the second question is open: the first one's end is told. */
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'later' S");
    talk_release(&t, true);
    talk_server(&t, "1 ZT");
    talk_client(&t, "Bp, S");
    talk_server(&t, "2 ZT");
    t.events[t.events_len = 0] = '\0';
    talk_client(&t, "Q'fetch from p'");
    flt_eof(t.f, FLT_CLIENT);
    talk_release(&t, true);
    talk_events(&t, "query fetch from p\nexecute later\nresult 3 rows 0 bytes 0 '' skipped\nclose ok: client closed the connection\n");
    talk_end(&t);
}
END_TEST

START_TEST(bound_parameters_are_bounded) {
    /* 65,535 NULLs take 262 KB on the wire, and many times that when each is kept: only so many are. */
    struct talk t;
    talk_start(&t, chops[_i] == 1 ? 0 : chops[_i], &(struct flt_limits){.params = 80});
    talk_ready(&t);
    talk_client(&t, "P'one'");
    uint8_t *bind = calloc(1, 11 + 4 * 20 + 2);
    ck_assert_ptr_nonnull(bind);
    bind[0] = 'B';
    bind[4] = 4 + 2 + 2 + 2 + 4 * 20 + 2;
    bind[10] = 20;
    memset(bind + 11, 0xff, 4 * 20);
    talk_raw(&t, FLT_CLIENT, bind, 11 + 4 * 20 + 2);
    free(bind);
    talk_client(&t, "E S");
    talk_server(&t, "1 2");
    ck_assert_ptr_nonnull(strstr(t.events, "execute one null null null null null null null null null null cut\n"));
    talk_end(&t);
}
END_TEST

START_TEST(terminate_waits_for_what_was_sent) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "P'one' B, E S X");
    talk_expect(&t, FLT_SERVER, "P'one' B, E'' S H");
    talk_server(&t, "1 2 C'SELECT 1' ZI");
    ck_assert(t.closed);
    ck_assert_ptr_nonnull(strstr(t.events, "result 3 rows 0 bytes 0 '00000'"));
    talk_end(&t);
}
END_TEST

START_TEST(terminated_from_outside) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "Q'one'");
    flt_terminate(t.f, "57P01", "drained", NULL);
    talk_raw(&t, FLT_CLIENT, NULL, 0);
    talk_expect(&t, FLT_CLIENT, "E!57P01");
    talk_events(&t, "query one\nresult 2 rows 0 bytes 0 ''\nclose ok: ended by Gatehouse\n");
    talk_end(&t);
}
END_TEST

int main(void) {
    Suite *s = suite_create("pg_filter");
    TCase *c = tcase_create("conversations");
#define EACH(name) tcase_add_loop_test(c, name, 0, CHOPS)
    EACH(refused_query_poisons);
    EACH(refused_in_a_pipeline);
    EACH(refused_behind_a_server_error);
    EACH(errors_skip_to_sync);
    EACH(names_wait_for_the_earlier_pipeline);
    EACH(reparse_of_a_living_name);
    EACH(long_names_are_refused);
    EACH(sql_deallocate_forgets);
    EACH(portals_end_with_their_transaction);
    EACH(copy_in_by_query);
    EACH(copy_in_that_fails);
    EACH(copy_in_extended);
    EACH(copy_out);
    EACH(function_call_is_refused);
    EACH(verdict_later);
    EACH(closed_with_a_question_open);
    EACH(rewritten_text);
    EACH(secret_text);
    EACH(long_texts_and_binds);
    EACH(limits_on_names_and_flight);
    EACH(upstream_trouble);
    EACH(server_breaks_the_protocol);
    EACH(client_breaks_the_protocol);
    EACH(malformed_binds);
    EACH(copy_in_behind_others);
    EACH(refused_query_in_an_open_pipeline);
    EACH(refusal_drops_the_unnamed);
    EACH(query_ends_the_unnamed_portal);
    EACH(execute_of_a_parsed_statement_is_an_execute);
    EACH(execute_of_a_parsed_statement_refused);
    EACH(fetch_from_a_bound_portal_is_an_execute);
    EACH(fetch_from_a_bound_portal_refused);
    EACH(bound_parameters_are_bounded);
    EACH(terminate_waits_for_what_was_sent);
    EACH(terminated_from_outside);
    suite_add_tcase(s, c);
    return run_suite(s);
}
