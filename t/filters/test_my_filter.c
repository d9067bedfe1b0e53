/* Conversations with the MySQL filter: each runs whole, byte by byte and in random pieces, from memory that ends at a guard page. */
#include "t/filters/my_talk.h"

#include "filters/my_wire.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t chops[] = {0, 1, SIZE_MAX, 7};
#define CHOPS ((int)(sizeof chops / sizeof *chops))

START_TEST(login_and_first_statement) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_login(&t);
    talk_client(&t, "0:0e"); /* COM_PING needs no server */
    talk_expect(&t, FLT_CLIENT, "1:OK");
    talk_client(&t, "0:03'select 1'");
    talk_events(&t, "");
    talk_serve(&t);
    talk_events(&t, "version=10.11.6-MariaDB sql_mode=STRICT_TRANS_TABLES lower_case_table_names=0 charset=utf8mb4 \nquery select 1\n");
    talk_expect(&t, FLT_SERVER, "0:03'select 1'");
    ck_assert(t.multi && t.alone);
    talk_server(&t, "1:01 2:03'def' 3:01'1' 4:01'2' 5:OKEOF");
    talk_expect(&t, FLT_CLIENT, "1:01 2:03'def' 3:0131 4:0132 5:fe000002000000");
    talk_events(&t, "result 1 rows 2 bytes 4 '00000'\n");
    ck_assert(flt_idle(t.f));
    talk_client(&t, "0:01");
    talk_events(&t, "close ok: client closed the connection\n");
    talk_end(&t);
}
END_TEST

START_TEST(both_styles_of_eof) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.eof = true;
    talk_ready(&t);
    talk_client(&t, "0:03'select 1'");
    talk_server(&t, "1:01 2:03'def' 3:EOF 4:01'1' 5:EOFMORE 6:01 7:03'def' 8:EOF 9:01'2' 10:EOF");
    talk_expect(&t, FLT_SERVER, "0:03'select 1'");
    talk_expect(&t, FLT_CLIENT, "1:01 2:03'def' 3:fe00000200 4:0131 5:fe00000a00 6:01 7:03'def' 8:fe00000200 9:0132 10:fe00000200");
    talk_events(&t, "query select 1\nresult 2 rows 2 bytes 4 '00000'\n");
    talk_end(&t);
}
END_TEST

START_TEST(refused_and_errors) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:03'refuse' 0:03'next'"); /* sent ahead: it waits for its turn */
    talk_expect(&t, FLT_CLIENT, "1:E1142");
    talk_expect(&t, FLT_SERVER, "0:03'next'");
    talk_server(&t, "1:ERR");
    talk_expect(&t, FLT_CLIENT, "1:E1054");
    talk_events(&t, "query refuse\nquery next\nresult 3 rows 0 bytes 0 '42S22'\n");
    talk_client(&t, "0:03'later'"); /* nothing is under way while it is judged */
    ck_assert(!flt_in_transaction(t.f) && !flt_idle(t.f));
    talk_release(&t, true);
    ck_assert(flt_in_transaction(t.f));
    talk_server(&t, "1:OK");
    ck_assert(!flt_in_transaction(t.f));
    talk_client(&t, "0:03'begin'");
    talk_server(&t, "1:TXN");
    ck_assert(flt_in_transaction(t.f) && !flt_idle(t.f));
    talk_client(&t, "0:03'refuse'");
    ck_assert(!t.alone && flt_in_transaction(t.f));
    talk_client(&t, "0:03'refuse fatally'");
    ck_assert(t.closed);
    talk_end(&t);
}
END_TEST

START_TEST(nothing_leaves_before_the_answer) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:03'later'");
    talk_expect(&t, FLT_SERVER, "");
    talk_release(&t, true);
    talk_expect(&t, FLT_SERVER, "0:03'later'");
    talk_client(&t, "0:03'x'");
    talk_expect(&t, FLT_SERVER, "");
    talk_server(&t, "1:OK");
    talk_expect(&t, FLT_SERVER, "0:0378");
    talk_end(&t);
}
END_TEST

START_TEST(rewritten_and_secret) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:03'rewrite this'");
    talk_expect(&t, FLT_SERVER, "0:03'do 1'");
    talk_server(&t, "1:OK");
    talk_client(&t, "0:16'secret'");
    talk_expect(&t, FLT_SERVER, "0:16'do 1'");
    talk_server(&t, "1:000100000000000000000000");
    talk_client(&t, "0:17010000000001000000");
    talk_events(&t, "query rewrite this\nresult 2 rows 0 bytes 0 '00000'\nprepare secret\nexecute do 1\n");
    talk_end(&t);
}
END_TEST

/* Commands that are no text are asked about as the statement that does the same. */
START_TEST(commands_as_statements) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:02'refuse`me'");
    talk_client(&t, "0:02'shop'");
    talk_expect(&t, FLT_SERVER, "0:02'shop'");
    talk_server(&t, "1:OK");
    talk_client(&t, "0:04'orders'00'%'");
    talk_expect(&t, FLT_SERVER, "0:04'orders'0025");
    talk_server(&t, "1:03'def' 2:03'def' 3:OKEOF");
    talk_client(&t, "0:0c4d000000");
    talk_expect(&t, FLT_SERVER, "0:0c4d000000");
    talk_server(&t, "1:OK");
    talk_client(&t, "0:09");
    talk_server(&t, "1:'Uptime: 3'");
    talk_expect(&t, FLT_CLIENT, "1:E1142 1:OK 1:03'def' 2:03'def' 3:fe000002000000 1:OK 1:'Uptime: 3'");
    talk_events(
        &t, "query USE `refuse``me`\nquery USE `shop`\nresult 3 rows 0 bytes 0 '00000'\nquery SHOW COLUMNS FROM `orders`\nresult 4 rows 0 "
            "bytes 0 '00000'\nquery KILL CONNECTION 77\nresult 5 rows 0 bytes 0 '00000'\nquery SHOW GLOBAL STATUS\nresult 6 rows 0 bytes 0 "
            "'00000'\n");
    talk_end(&t);
}
END_TEST

START_TEST(refused_commands) {
    /* refresh, shutdown, debug, change user, binlog dump, table dump, register slave, fetch, daemon, gtid, clone, bulk, sleep, create, drop, time */
    static const char *const commands[] = {"07", "08", "0d", "11'ann'00", "12", "13", "15", "1c0100000001000000", "1d", "1e", "20",
                                           "fa", "00", "05", "06",        "0f", "fe", "ff"};
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char say[64];
        snprintf(say, sizeof say, "0:%s", commands[i]);
        talk_client(&t, say);
        talk_expect(&t, FLT_CLIENT, "1:E1235");
        talk_expect(&t, FLT_SERVER, "");
    }
    ck_assert(flt_idle(t.f));
    talk_end(&t);
}
END_TEST

START_TEST(prepared_statements) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:16'insert ?,?,?'");
    talk_server(&t, "1:000500000000000300000000 2:03'def' 3:03'def' 4:03'def'");
    talk_saw(&t, FLT_CLIENT);
    talk_saw(&t, FLT_SERVER);
    /* a LONG, a text, NULL */
    talk_client(&t, "0:1705000000000100000004010300fe0006000700000003'abc'");
    talk_expect(&t, FLT_SERVER, "0:1705000000000100000004010300fe0006000700000003'abc'");
    talk_server(&t, "1:00010002000000");
    talk_expect(&t, FLT_CLIENT, "1:00010002000000");
    talk_events(&t, "prepare insert ?,?,?\nexecute insert ?,?,? binary07000000 abc null\nresult 3 rows 1 bytes 0 '00000'\n");
    /* the same without types, and with a cursor: types are told again, the cursor is not */
    talk_client(&t, "0:1705000000010100000004000800000002'xy'");
    talk_expect(&t, FLT_SERVER, "0:1705000000000100000004010300fe00060008000000027879");
    talk_server(&t, "1:OK");
    talk_client(&t, "0:18050000000100'some ' 0:18050000000100'long data'");
    talk_expect(&t, FLT_SERVER, "0:18050000000100'some ' 0:18050000000100'long data'");
    talk_events(&t, "execute insert ?,?,? binary08000000 xy null\nresult 4 rows 0 bytes 0 '00000'\n");
    talk_client(&t, "0:17050000000001000000040009000000");
    talk_events(&t, "execute insert ?,?,? binary09000000 some long data null\n");
    talk_server(&t, "1:OK");
    talk_saw(&t, FLT_SERVER);
    talk_saw(&t, FLT_CLIENT);
    talk_client(&t, "0:1905000000 0:1705000000000100000004010300fe000600"); /* closed: gone */
    talk_expect(&t, FLT_SERVER, "0:1905000000");
    talk_expect(&t, FLT_CLIENT, "1:E1243");
    talk_client(&t, "0:17ffffffff0001000000");
    talk_expect(&t, FLT_CLIENT, "1:E1243");
    talk_end(&t);
}
END_TEST

START_TEST(bad_executions) {
    static const char *const bad[] = {
        "0:1705000000",         /* cut off */
        "0:170500000000010000", /* likewise */
        "0:1705000000000200000000010300"
        "07000000",                                  /* two rounds */
        "0:17050000000801000000000103000700000000",  /* query attributes */
        "0:1705000000000100000000",                  /* no types told yet */
        "0:170500000000010000000002030007000000",    /* a flag that there is not */
        "0:17050000000001000000000103000700",        /* a value cut off */
        "0:170500000000010000000001030007000000'x'", /* bytes behind */
        "0:1705000000000100000000010e0007000000",    /* a type that we do not know */
        "0:170500000000010000000001fe0005'abc'",     /* longer than there is */
        "0:170500000000010000000001fe00fb",          /* no length */
        "0:1705000000000100000000010c0005'abcde'",   /* no date has five bytes */
    };
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:16'x = ?'");
    talk_server(&t, "1:000500000000000100000000 2:03'def'");
    talk_saw(&t, FLT_CLIENT);
    talk_saw(&t, FLT_SERVER);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        talk_client(&t, bad[i]);
        talk_expect(&t, FLT_CLIENT, "1:E1235");
        talk_expect(&t, FLT_SERVER, "");
    }
    talk_events(&t, "prepare x = ?\n");
    talk_end(&t);
}
END_TEST

START_TEST(reset_sets_the_pins_again) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:16'select'");
    talk_server(&t, "1:000500000000000000000000");
    talk_saw(&t, FLT_SERVER);
    talk_saw(&t, FLT_CLIENT);
    talk_client(&t, "0:1f 0:1705000000"
                    "0001000000");
    talk_expect(&t, FLT_SERVER, "0:1f");
    talk_server(&t, "1:OK");
    talk_expect(&t, FLT_CLIENT, "");
    talk_saw(&t, FLT_SERVER);
    talk_pins(&t);
    talk_expect(&t, FLT_CLIENT, "1:OK 1:E1243"); /* its statements are gone */
    talk_events(&t, "prepare select\n");
    talk_end(&t);
}
END_TEST

/* What the server reports is set again before the client hears of what it has set, or of its error; and nothing runs meanwhile. */
START_TEST(tracking_is_set_again) {
    static const char *const told[][2] = {{"1:OK", "1:OK 1:OK"}, {"1:ff280404233432303030'no'", "1:E1064 1:OK"}};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_ready(&t);
        talk_client(&t, "0:03'retrack' 0:03'next'");
        talk_expect(&t, FLT_SERVER, "0:03'retrack'");
        talk_server(&t, told[i][0]);
        talk_expect(&t, FLT_CLIENT, "");
        ck_assert_int_eq(strncmp(talk_saw(&t, FLT_SERVER), "0:(", 3), 0); /* a long one: SET .. */
        talk_pins(&t);
        talk_expect(&t, FLT_SERVER, "0:03'next'");
        talk_server(&t, "1:OK");
        talk_expect(&t, FLT_CLIENT, told[i][1]);
        ck_assert(!t.closed);
        talk_end(&t);
    }
    struct talk t; /* rows are no answer to SET */
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:03'retrack'");
    talk_server(&t, "1:01");
    ck_assert(t.closed);
    talk_end(&t);
}
END_TEST

START_TEST(session_tracking) {
    static const struct {
        const char *ok, *client;
        bool ends;
    } cases[] = {
        {"1:000000024000000010000e0a'autocommit'02'ON'", "1:OK", false}, /* of no matter; a client without the capability sees none of it */
        {"1:000000024000000007010504'shop'", "1:OK", false},
        {"1:0000000240000000080106"
         "05'other'",
         "1:E1053", true},
        {"1:000000024000000015001308'sql_mode'09'ANSI_QUOT'", "1:E1053", true},
        {"1:00000002400000001f001d14'character_set_client'07'utf8mb4'", "1:OK", false},
        {"1:00000002400000001b001914'character_set_client'03'gbk'", "1:E1053", true},
        {"1:00000002400000000400030a'x'", "1:E1053", true}, /* cannot be read */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_ready(&t);
        talk_client(&t, "0:03'set'");
        talk_server(&t, cases[i].ok);
        talk_expect(&t, FLT_CLIENT, cases[i].client);
        ck_assert_int_eq(t.closed, cases[i].ends);
        talk_end(&t);
    }
}
END_TEST

START_TEST(tracking_reaches_who_wants_it) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.track = true;
    talk_ready(&t);
    talk_client(&t, "0:03'set'");
    talk_server(&t, "1:00000002400000000f000d0a'autocommit'01'1'");
    talk_expect(&t, FLT_CLIENT, "1:00000002400000000f000d0a'autocommit'0131");
    talk_end(&t);
}
END_TEST

START_TEST(limits) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.cancelling = true;
    talk_ready(&t);
    talk_client(&t, "0:03'rows 2'");
    talk_server(&t, "1:01 2:03'def' 3:01'1' 4:01'2' 5:01'3'");
    talk_client(&t, "0:03'next'");
    talk_server(&t, "6:01'4' 7:OKEOF");
    talk_expect(&t, FLT_CLIENT, "1:01 2:03'def' 3:0131 4:0132 5:E1226");
    talk_saw(&t, FLT_SERVER);
    talk_events(&t, "query rows 2\nover 2\nresult 2 rows 2 bytes 4 '53400'\n");
    flt_over(t.f); /* before, a KILL could have met the next statement */
    talk_client(&t, "");
    talk_expect(&t, FLT_SERVER, "0:03'next'");
    talk_server(&t, "1:OK");
    talk_client(&t, "0:03'limited'");
    ck_assert(flt_overrun(t.f));
    flt_over(t.f);
    talk_server(&t, "1:ERR");
    talk_expect(&t, FLT_CLIENT, "1:OK 1:E1226");
    talk_end(&t);
}
END_TEST

START_TEST(local_infile) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:03'copyin'");
    talk_server(&t, "1:fb'a.csv'");
    talk_saw(&t, FLT_SERVER);
    talk_expect(&t, FLT_CLIENT, "1:fb'a.csv'");
    talk_client(&t, "2:'one' 3:'two' 4:");
    talk_expect(&t, FLT_SERVER, "2:'one' 3:'two' 4:");
    talk_server(&t, "5:00020002000000");
    talk_expect(&t, FLT_CLIENT, "5:00020002000000");
    talk_events(&t, "query copyin\nresult 2 rows 2 bytes 6 '00000'\n");
    talk_client(&t, "0:03'select'"); /* a server that asks for a file all the same */
    talk_server(&t, "1:fb'/etc/passwd'");
    talk_expect(&t, FLT_SERVER, "0:03'select' 2:");
    talk_server(&t, "3:OK");
    talk_expect(&t, FLT_CLIENT, "1:E1142");
    talk_end(&t);
}
END_TEST

START_TEST(numbers_must_fit) {
    static const char *const bad[] = {"1:03'x'", "0:", NULL};
    for (size_t i = 0; bad[i] != NULL; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_ready(&t);
        talk_client(&t, bad[i]);
        ck_assert(t.closed);
        talk_expect(&t, FLT_SERVER, "");
        talk_end(&t);
    }
    static const char *const server[] = {"2:OK", "1:", "1:ff", "1:00", "1:0102", "1:01 2:03'def' 3:fe00000200'xxxxxxxxx'", NULL};
    for (size_t i = 0; server[i] != NULL; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_ready(&t);
        talk_client(&t, "0:03'x'");
        talk_server(&t, server[i]);
        ck_assert_msg(t.closed, "%s", server[i]);
        talk_end(&t);
    }
}
END_TEST

START_TEST(server_speaks_unasked) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_server(&t, "0:ff87072330385330314b'illed'");
    talk_expect(&t, FLT_CLIENT, "1:E1053");
    talk_events(&t, "close ok: the database ended the connection\n");
    talk_end(&t);
}
END_TEST

/* A statement of two packets and one of three of which the last is empty; a row likewise. */
START_TEST(great_packets) {
    static const size_t sizes[] = {MY_PACKET_MAX - 2, MY_PACKET_MAX - 1, MY_PACKET_MAX, MY_PACKET_MAX + 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct talk t;
        struct buf b = BUF_INIT(40u << 20), p = BUF_INIT(40u << 20);
        uint8_t seq = 0;
        talk_start(&t, 0, &(struct flt_limits){.statement = 20u << 20});
        talk_ready(&t);
        buf_u8(&p, 3);
        uint8_t *room = buf_reserve(&p, sizes[i]);
        memset(room, 'a', sizes[i]);
        buf_commit(&p, sizes[i]);
        my_put_packet(&b, &seq, buf_at(&p), buf_used(&p));
        talk_raw(&t, FLT_CLIENT, buf_at(&b), buf_used(&b));
        struct buf *out = flt_out(t.f, FLT_SERVER);
        ck_assert_uint_eq(buf_used(out), buf_used(&b));
        ck_assert_int_eq(memcmp(buf_at(out), buf_at(&b), buf_used(&b)), 0);
        buf_drain(out, buf_used(out));
        /* the answer's numbers go on from there */
        uint8_t first = seq;
        buf_reset(&b);
        my_put_packet(&b, &seq, "\1", 1);
        my_put_packet(&b, &seq, "\3def", 4);
        buf_reset(&p);
        memset(buf_reserve(&p, sizes[i]), 'b', sizes[i]);
        buf_commit(&p, sizes[i]);
        my_put_packet(&b, &seq, buf_at(&p), buf_used(&p));
        my_put_packet(&b, &seq, "\xfe\0\0\2\0\0\0", 7);
        talk_raw(&t, FLT_SERVER, buf_at(&b), buf_used(&b));
        out = flt_out(t.f, FLT_CLIENT);
        ck_assert_uint_eq(buf_at(out)[3], first);
        buf_reset(&p);
        for (int k = 0; k < 2; k++) { /* the end waits until there is room */
            buf_put(&p, buf_at(out), buf_used(out));
            talk_saw(&t, FLT_CLIENT);
        }
        ck_assert_uint_eq(buf_used(&p), buf_used(&b));
        ck_assert_int_eq(memcmp(buf_at(&p), buf_at(&b), buf_used(&b)), 0);
        ck_assert(flt_idle(t.f));
        buf_free(&b);
        buf_free(&p);
        talk_end(&t);
    }
}
END_TEST

START_TEST(over_the_limit) {
    struct talk t;
    talk_start(&t, chops[_i], &(struct flt_limits){.statement = 20});
    talk_ready(&t);
    talk_client(&t, "0:03'123456789012345678901' 0:03'12345678901234567890'");
    talk_expect(&t, FLT_CLIENT, "1:E1153");
    talk_expect(&t, FLT_SERVER, "0:03'12345678901234567890'");
    talk_server(&t, "1:OK");
    talk_client(&t, "0:16'x = ?'");
    talk_server(&t, "1:000500000000000100000000 2:03'def'");
    talk_saw(&t, FLT_CLIENT);
    talk_saw(&t, FLT_SERVER);
    talk_client(&t, "0:18050000000000'1234567890123456789' 0:1705000000000100000000"
                    "01fe0001'a'");
    talk_expect(&t, FLT_SERVER, ""); /* no answer to long data; its statement cannot run */
    talk_expect(&t, FLT_CLIENT, "1:E1153");
    talk_end(&t);
}
END_TEST

START_TEST(character_sets) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.collation = 28; /* gbk */
    talk_hello(&t);
    talk_expect(&t, FLT_CLIENT, "3:E1231");
    talk_end(&t);
}
END_TEST

START_TEST(set_option) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:1b0100");
    talk_expect(&t, FLT_SERVER, "0:1b0100");
    talk_server(&t, "1:OKEOF");
    talk_client(&t, "0:03'one'");
    ck_assert(!t.multi);
    talk_server(&t, "1:OK");
    talk_client(&t, "0:1b0000");
    talk_server(&t, "1:ERR");
    talk_client(&t, "0:03'two'");
    ck_assert(!t.multi);
    talk_client(&t, "");
    talk_end(&t);
}
END_TEST

START_TEST(no_database) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.upstream_down = true;
    talk_login(&t);
    talk_client(&t, "0:03'x'");
    talk_expect(&t, FLT_CLIENT, "1:E1429");
    ck_assert(flt_idle(t.f));
    talk_events(&t, "");
    talk_end(&t);
}
END_TEST

START_TEST(the_client_leaves) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_ready(&t);
    talk_client(&t, "0:03'select'");
    flt_eof(t.f, FLT_CLIENT);
    talk_client(&t, "");
    talk_events(&t, "query select\nresult 2 rows 0 bytes 0 ''\nclose ok: client closed the connection\n");
    talk_end(&t);
}
END_TEST

int main(void) {
    Suite *s = suite_create("my_filter");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, login_and_first_statement, 0, CHOPS);
    tcase_add_loop_test(t, both_styles_of_eof, 0, CHOPS);
    tcase_add_loop_test(t, refused_and_errors, 0, CHOPS);
    tcase_add_loop_test(t, nothing_leaves_before_the_answer, 0, CHOPS);
    tcase_add_loop_test(t, rewritten_and_secret, 0, CHOPS);
    tcase_add_loop_test(t, commands_as_statements, 0, CHOPS);
    tcase_add_loop_test(t, refused_commands, 0, CHOPS);
    tcase_add_loop_test(t, prepared_statements, 0, CHOPS);
    tcase_add_loop_test(t, bad_executions, 0, CHOPS);
    tcase_add_loop_test(t, reset_sets_the_pins_again, 0, CHOPS);
    tcase_add_loop_test(t, tracking_is_set_again, 0, CHOPS);
    tcase_add_loop_test(t, session_tracking, 0, CHOPS);
    tcase_add_loop_test(t, tracking_reaches_who_wants_it, 0, CHOPS);
    tcase_add_loop_test(t, limits, 0, CHOPS);
    tcase_add_loop_test(t, local_infile, 0, CHOPS);
    tcase_add_loop_test(t, numbers_must_fit, 0, CHOPS);
    tcase_add_loop_test(t, server_speaks_unasked, 0, CHOPS);
    tcase_add_test(t, great_packets);
    tcase_add_loop_test(t, over_the_limit, 0, CHOPS);
    tcase_add_loop_test(t, character_sets, 0, CHOPS);
    tcase_add_loop_test(t, set_option, 0, CHOPS);
    tcase_add_loop_test(t, no_database, 0, CHOPS);
    tcase_add_loop_test(t, the_client_leaves, 0, CHOPS);
    suite_add_tcase(s, t);
    return run_suite(s);
}
