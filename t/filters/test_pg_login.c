/* Logins at the PostgreSQL filter: each conversation runs whole, byte by byte and in random pieces, from memory that ends at a guard page. */
#include "t/filters/pg_talk.h"
#include "t/lib/guard.h"

#include <string.h>

static const size_t chops[] = {0, 1, SIZE_MAX, 7};
#define CHOPS ((int)(sizeof chops / sizeof *chops))

START_TEST(login_with_known_parameters) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_login(&t);
    talk_expect(&t, FLT_CLIENT, "R R Sserver_version=15.1 Sclient_encoding=UTF8 K ZI");
    talk_expect(&t, FLT_SERVER, "");
    talk_events(&t, "login ann@shop token\n");
    ck_assert(flt_idle(t.f));
    talk_client(&t, "S H CSx X"); /* nothing of that needs a server */
    talk_expect(&t, FLT_CLIENT, "ZI 3");
    talk_events(&t, "close ok: client ended the session\n");
    talk_end(&t);
}
END_TEST

START_TEST(login_asks_the_server) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.params_cached = false;
    talk_login(&t);
    talk_expect(&t, FLT_CLIENT, "R R");
    talk_expect(&t, FLT_SERVER, "startup");
    talk_server(&t, "R0 Sserver_version=17 Sclient_encoding=UTF8 K ZI");
    talk_expect(&t, FLT_CLIENT, "Sserver_version=17 Sclient_encoding=UTF8 K ZI");
    uint32_t pid, secret;
    ck_assert(flt_server_key(t.f, &pid, &secret));
    ck_assert_uint_eq(pid, 101);
    ck_assert_uint_eq(secret, 102);
    talk_end(&t);
}
END_TEST

START_TEST(server_tells_other_parameters_later) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_login(&t);
    talk_saw(&t, FLT_CLIENT);
    talk_client(&t, "Q'one'");
    talk_server(&t, "R0 Sserver_version=16 Sclient_encoding=UTF8 K ZI");
    talk_expect(&t, FLT_SERVER, "startup Q'one'");
    talk_server(&t, "T D'1' C'SELECT 1' ZI");
    talk_expect(&t, FLT_CLIENT, "Sserver_version=16 T D'1' C'SELECT 1' ZI");
    talk_events(&t, "login ann@shop token\nquery one\nupstream\nupstream ready 2\nresult 1 rows 1 bytes 1 '00000'\n");
    talk_end(&t);
}
END_TEST

START_TEST(refusal_without_a_server) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    talk_login(&t);
    talk_saw(&t, FLT_CLIENT);
    talk_client(&t, "Q'refuse' P'refuse' B, E S Q'refuse'");
    talk_expect(&t, FLT_CLIENT, "E42501 ZI E42501 ZI E42501 ZI");
    talk_expect(&t, FLT_SERVER, "");
    talk_end(&t);
}
END_TEST

START_TEST(startup_vectors) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *client, *events;
    } v[] = {
        {"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2", 16, "", "cancel 1 2\nclose ok: cancel request\n"},
        {"\0\0\0\x08\x04\xd2\x16\x2f", 8, "E!08P01", "close malformed: SSLRequest or GSSENCRequest inside TLS\n"},
        {"\0\0\0\x08\x04\xd2\x16\x30", 8, "E!08P01", "close malformed: SSLRequest or GSSENCRequest inside TLS\n"},
        {"\0\0\0\x08\0\2\0\0", 8, "E!0A000", "close unsupported: unsupported protocol version\n"},
        {"\0\0\0\x07\0\3\0\0", 8, "E!08P01", "close malformed: startup packet of an impossible length\n"},
        {"\0\1\0\0\0\3\0\0", 8, "E!08P01", "close limit: startup packet over limit\n"},
        {"\0\0\0\x09\0\3\0\0\0", 9, "E!08P01",
         "close malformed: startup packet that is malformed, names no user, repeats a parameter or holds too many\n"},
        {"\0\0\0\x19\0\3\0\0user\0a\0user\0b\0\0\0\0", 25, "E!08P01",
         "close malformed: startup packet that is malformed, names no user, repeats a parameter or holds too many\n"},
        {"\0\0\0\x1b\0\3\0\2user\0a\0_pq_.x\0y\0\0\0", 27, "E!08P01",
         "close malformed: startup packet that is malformed, names no user, repeats a parameter or holds too many\n"},
        {"\0\0\0\x1a\0\3\0\2user\0a\0_pq_.x\0yy\0\0", 26, "v R", ""},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_raw(&t, FLT_CLIENT, v[i].bytes, v[i].len);
        ck_assert_msg(strcmp(talk_saw(&t, FLT_CLIENT), v[i].client) == 0, "vector %zu: %s", i, t.seen);
        ck_assert_msg(strcmp(t.events, v[i].events) == 0, "vector %zu: %s", i, t.events);
        talk_end(&t);
    }
}
END_TEST

START_TEST(password_vectors) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *client;
    } v[] = {
        {"p\0\0\0\x0awrong\0", 11, "R E!28P01"}, {"p\0\0\0\x0bwr\0ng\0\0", 12, "R E!08P01"}, {"Q\0\0\0\x0awrong\0", 11, "R E!08P01"},
        {"p\0\1\0\0", 5, "R E!28P01"},           {"p\0\1\0\0abc", 8, "R E!28P01"},           {"p\0\0\0\4", 5, "R E!08P01"},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_raw(&t, FLT_CLIENT, "\0\0\0\x10\0\3\0\0user\0a\0\0", 16);
        talk_raw(&t, FLT_CLIENT, v[i].bytes, v[i].len);
        ck_assert_msg(strcmp(talk_saw(&t, FLT_CLIENT), v[i].client) == 0, "vector %zu: %s", i, t.seen);
        ck_assert(t.closed);
        talk_end(&t);
    }
}
END_TEST

static void send_sasl(struct talk *t, const char *mechanism, const char *data, uint32_t len_field) {
    uint8_t raw[512] = {'p'};
    size_t m = strlen(mechanism) + 1, d = strlen(data), n = 4 + m + 4 + d;
    raw[3] = (uint8_t)(n >> 8);
    raw[4] = (uint8_t)n;
    memcpy(raw + 5, mechanism, m);
    for (int i = 0; i < 4; i++) raw[5 + m + (size_t)i] = (uint8_t)(len_field >> (24 - 8 * i));
    memcpy(raw + 9 + m, data, d);
    talk_raw(t, FLT_CLIENT, raw, n + 1);
}

#define BEARER_STARTUP "\0\0\0\x15\0\3\0\0user\0bearer\0\0"

START_TEST(bearer_vectors) {
    static const struct {
        const char *data, *client, *events;
    } v[] = {
        {"n,,\1auth=Bearer good\1\1", "R R K ZI", "login bearer@ good\n"},
        {"y,,\1host=h\1auth=bearer   good\1port=1\1\1", "R R K ZI", "login bearer@ good\n"},
        /* Refused: the client is told why, says that it has read it, and is told again as an error. */
        {"n,,\1auth=Bearer wrong\1\1", "R R", "login bearer@ wrong\n"},
        {"n,,\1auth=\1\1", "R R", "discovery login bearer@ \n"},
        /* No bearer token: the owner refuses an empty one. */
        {"n,,\1auth=Basic abc\1\1", "R R K ZI", "login bearer@ \n"},
        {"n,,\1auth=Bearer\1\1", "R R K ZI", "login bearer@ \n"},
        /* Malformed. */
        {"n,,\1auth=Bearer good\1", "R E!08P01", NULL},
        {"n,,\1auth=Bearer good", "R E!08P01", NULL},
        {"n,,\1\1", "R E!08P01", NULL},
        {"n,,\1", "R E!08P01", NULL},
        {"n,,", "R E!08P01", NULL},
        {"n", "R E!08P01", NULL},
        {"", "R E!08P01", NULL},
        {"p=tls-unique,,\1auth=Bearer good\1\1", "R E!08P01", NULL},
        {"n,a=other,\1auth=Bearer good\1\1", "R E!08P01", NULL},
        {"n,,\1auth=Bearer good\1auth=Bearer good\1\1", "R E!08P01", NULL},
        {"n,,\1auth=Bearer good\1\1\1", "R E!08P01", NULL},
        {"n,,\1auth=Bearer good\1\1x", "R E!08P01", NULL},
        {"n,,\1=x\1auth=Bearer good\1\1", "R E!08P01", NULL},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        t.params_cached = true;
        talk_raw(&t, FLT_CLIENT, BEARER_STARTUP, sizeof BEARER_STARTUP - 1);
        send_sasl(&t, "OAUTHBEARER", v[i].data, (uint32_t)strlen(v[i].data));
        const char *saw = talk_saw(&t, FLT_CLIENT);
        bool in = strstr(v[i].client, "ZI") != NULL;
        if (in)
            ck_assert_msg(strncmp(saw, "R R ", 4) == 0 && strstr(saw, "ZI") != NULL, "vector %zu: %s", i, saw);
        else
            ck_assert_msg(strcmp(saw, v[i].client) == 0, "vector %zu: %s", i, saw);
        if (v[i].events != NULL) ck_assert_msg(strncmp(t.events, v[i].events, strlen(v[i].events)) == 0, "vector %zu: %s", i, t.events);
        ck_assert_msg(t.closed == (v[i].events == NULL), "vector %zu", i);
        if (strcmp(v[i].client, "R R") == 0) {
            talk_raw(&t, FLT_CLIENT, "p\0\0\0\5\1", 6);
            ck_assert_str_eq(talk_saw(&t, FLT_CLIENT), "E!28P01");
            ck_assert(t.closed);
        }
        talk_end(&t);
    }
}
END_TEST

START_TEST(bearer_disorder) {
    static const struct {
        const char *mechanism;
        uint32_t len;
        const char *client;
    } v[] = {
        {"SCRAM-SHA-256", 23, "R E!08P01"}, {"oauthbearer", 23, "R E!08P01"}, {"", 23, "R E!08P01"},
        {"OAUTHBEARER", 22, "R E!08P01"},   {"OAUTHBEARER", 24, "R E!08P01"}, {"OAUTHBEARER", 0xffffffffu, "R E!08P01"},
    };
    struct talk t;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        talk_start(&t, chops[_i], NULL);
        talk_raw(&t, FLT_CLIENT, BEARER_STARTUP, sizeof BEARER_STARTUP - 1);
        send_sasl(&t, v[i].mechanism, "n,,\1auth=Bearer good1\1\1", v[i].len);
        ck_assert_msg(strcmp(talk_saw(&t, FLT_CLIENT), v[i].client) == 0, "vector %zu: %s", i, t.seen);
        talk_end(&t);
    }
    /* Too long: not read, so the answer is the error at once. */
    talk_start(&t, chops[_i], NULL);
    talk_raw(&t, FLT_CLIENT, BEARER_STARTUP, sizeof BEARER_STARTUP - 1);
    talk_raw(&t, FLT_CLIENT, "p\0\1\0\0OAUTH", 10);
    ck_assert_str_eq(talk_saw(&t, FLT_CLIENT), "R E!28P01");
    talk_end(&t);
    /* A last word that is another one. */
    talk_start(&t, chops[_i], NULL);
    talk_raw(&t, FLT_CLIENT, BEARER_STARTUP, sizeof BEARER_STARTUP - 1);
    send_sasl(&t, "OAUTHBEARER", "n,,\1auth=Bearer wrong\1\1", 23);
    talk_raw(&t, FLT_CLIENT, "p\0\0\0\6\1\1", 7);
    ck_assert_str_eq(talk_saw(&t, FLT_CLIENT), "R R E!08P01");
    talk_end(&t);
}
END_TEST

START_TEST(asked_for_nothing) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.params_cached = true;
    talk_raw(&t, FLT_CLIENT, "\0\0\0\x14\0\3\0\0user\0known\0\0", 20);
    talk_events(&t, "login known@ \n");
    ck_assert_ptr_nonnull(strstr(talk_saw(&t, FLT_CLIENT), "ZI"));
    talk_client(&t, "Q'one'");
    talk_expect(&t, FLT_SERVER, "startup");
    talk_end(&t);
    talk_start(&t, chops[_i], NULL);
    talk_raw(&t, FLT_CLIENT, "\0\0\0\x15\0\3\0\0user\0nobody\0\0", 21);
    talk_expect(&t, FLT_CLIENT, "E!28000");
    ck_assert(t.closed);
    talk_end(&t);
}
END_TEST

int main(void) {
    Suite *s = suite_create("pg_login");
    TCase *c = tcase_create("conversations");
#define EACH(name) tcase_add_loop_test(c, name, 0, CHOPS)
    EACH(login_with_known_parameters);
    EACH(login_asks_the_server);
    EACH(server_tells_other_parameters_later);
    EACH(refusal_without_a_server);
    EACH(startup_vectors);
    EACH(password_vectors);
    EACH(bearer_vectors);
    EACH(bearer_disorder);
    EACH(asked_for_nothing);
    suite_add_tcase(s, c);
    return run_suite(s);
}
