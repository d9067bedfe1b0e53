/* TLS to the server, as far as the filter goes: SSLRequest and its answer, what may not stand behind it, a login that is tried once more. */
#include "t/filters/pg_talk.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <string.h>

static const size_t chops[] = {0, 1, SIZE_MAX};
#define CHOPS ((int)(sizeof chops / sizeof *chops))

static void ask(struct talk *t, size_t chop, enum flt_tls tls) {
    talk_start(t, chop, NULL);
    t->tls = tls;
    talk_login(t);
    talk_saw(t, FLT_CLIENT);
    t->events[t->events_len = 0] = '\0';
    talk_client(t, "Q'one'");
}

START_TEST(asked_for) {
    struct talk t;
    ask(&t, chops[_i], FLT_TLS_STARTTLS);
    talk_expect(&t, FLT_SERVER, "ssl");
    talk_events(&t, "query one\nupstream\n");
    talk_raw(&t, FLT_SERVER, "S", 1);
    talk_expect(&t, FLT_SERVER, "startup");
    talk_events(&t, "upstream tls\n");
    talk_server(&t, "R0 K ZI");
    talk_expect(&t, FLT_SERVER, "Q'one'");
    talk_server(&t, "C'SELECT 0' ZI");
    talk_expect(&t, FLT_CLIENT, "C'SELECT 0' ZI");
    talk_events(&t, "upstream ready 0\nresult 1 rows 0 bytes 0 '00000'\n");
    talk_end(&t);
}
END_TEST

START_TEST(direct) {
    struct talk t;
    ask(&t, chops[_i], FLT_TLS_DIRECT);
    talk_events(&t, "query one\nupstream\nupstream tls\n");
    talk_expect(&t, FLT_SERVER, "startup");
    talk_server(&t, "R0 K ZI");
    talk_expect(&t, FLT_SERVER, "Q'one'");
    talk_end(&t);
}
END_TEST

/* Nothing but 'S' alone goes on, and nothing ever goes on in plain text. */
START_TEST(not_agreed) {
    static const struct {
        const char *answer;
        size_t len;
        const char *why;
    } all[] = {
        {"N", 1, "the server does not speak TLS"},
        {"NR\0\0\0\10\0\0\0\0", 10, "the server does not speak TLS"},
        {"E\0\0\0\4", 5, "the server answered the request for TLS with an error"},
        {"G", 1, "what answered the request for TLS is not PostgreSQL"},
        {"\0", 1, "what answered the request for TLS is not PostgreSQL"},
        {"HTTP/1.1 400", 12, "what answered the request for TLS is not PostgreSQL"},
        {"SR\0\0\0\10\0\0\0\0", 10, "plain text behind the server's agreement to TLS: somebody on the way put it there"},
        {"SS", 2, "plain text behind the server's agreement to TLS: somebody on the way put it there"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct talk t;
        char events[400];
        if (all[i].answer[0] == 'S' && chops[_i] != 0) continue; /* what arrives later is for TLS to read */
        ask(&t, chops[_i], FLT_TLS_STARTTLS);
        talk_expect(&t, FLT_SERVER, "ssl");
        talk_raw(&t, FLT_SERVER, all[i].answer, all[i].len);
        snprintf(events, sizeof events, "query one\nupstream\nupstream lost  %s\nresult 1 rows 0 bytes 0 '' skipped\n", all[i].why);
        talk_events(&t, events);
        talk_expect(&t, FLT_SERVER, "");
        talk_expect(&t, FLT_CLIENT, "E08006 ZI");
        talk_client(&t, "Q'two'"); /* the session lives, and asks anew */
        talk_events(&t, "query two\nupstream\n");
        talk_expect(&t, FLT_SERVER, "ssl");
        talk_end(&t);
    }
}
END_TEST

START_TEST(plain_text_in_the_handshake) {
    struct talk t;
    ask(&t, chops[_i], FLT_TLS_STARTTLS);
    t.tls_later = true;
    talk_raw(&t, FLT_SERVER, "S", 1);
    talk_raw(&t, FLT_SERVER, "R\0\0\0\10\0\0\0\0", 9);
    talk_events(&t, "query one\nupstream\nupstream tls\nupstream lost  plain text from the server where TLS was due\n"
                    "result 1 rows 0 bytes 0 '' skipped\n");
    talk_expect(&t, FLT_SERVER, "ssl");
    talk_end(&t);
}
END_TEST

START_TEST(handshake_fails) {
    struct talk t;
    ask(&t, chops[_i], FLT_TLS_STARTTLS);
    t.tls_fails = true;
    talk_raw(&t, FLT_SERVER, "S", 1);
    talk_expect(&t, FLT_SERVER, "ssl");
    talk_expect(&t, FLT_CLIENT, "E08001 ZI");
    talk_events(&t, "query one\nupstream\nupstream tls\nresult 1 rows 0 bytes 0 '' skipped\n");
    talk_end(&t);
}
END_TEST

START_TEST(closed) {
    struct talk t;
    ask(&t, chops[_i], FLT_TLS_STARTTLS);
    flt_eof(t.f, FLT_SERVER);
    talk_raw(&t, FLT_SERVER, NULL, 0);
    talk_expect(&t, FLT_CLIENT, "E08006 ZI");
    ck_assert_ptr_nonnull(strstr(t.events, "upstream lost 08006 the server closed the connection when it was asked for TLS\n"));
    talk_end(&t);
}
END_TEST

/* The owner may try a login again, with another password: the statement that waits is sent once. */
START_TEST(once_more) {
    struct talk t;
    ask(&t, chops[_i], FLT_TLS_STARTTLS);
    t.again = true;
    talk_raw(&t, FLT_SERVER, "S", 1);
    talk_server(&t, "E!28P01");
    talk_expect(&t, FLT_SERVER, "ssl");
    talk_raw(&t, FLT_SERVER, "S", 1);
    talk_server(&t, "R0 K ZI");
    talk_expect(&t, FLT_SERVER, "startup Q'one'");
    talk_server(&t, "C'SELECT 0' ZI");
    talk_expect(&t, FLT_CLIENT, "C'SELECT 0' ZI");
    talk_events(&t, "query one\nupstream\nupstream tls\nupstream lost 28P01 server\nupstream tls\nupstream ready 0\n"
                    "result 1 rows 0 bytes 0 '00000'\n");
    talk_end(&t);
}
END_TEST

int main(void) {
    Suite *s = suite_create("pg_tls");
    TCase *c = tcase_create("pg_tls");
    tcase_add_loop_test(c, asked_for, 0, CHOPS);
    tcase_add_loop_test(c, direct, 0, CHOPS);
    tcase_add_loop_test(c, not_agreed, 0, CHOPS);
    tcase_add_loop_test(c, plain_text_in_the_handshake, 0, CHOPS);
    tcase_add_loop_test(c, handshake_fails, 0, CHOPS);
    tcase_add_loop_test(c, closed, 0, CHOPS);
    tcase_add_loop_test(c, once_more, 0, CHOPS);
    suite_add_tcase(s, c);
    return run_suite(s);
}
