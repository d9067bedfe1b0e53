/* Both logins of the MySQL filter: a client's with its token, ours at the server; and what both sides of a method compute. */
#include "t/filters/my_talk.h"

#include "filters/my_auth.h"
#include "t/lib/guard.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

static const size_t chops[] = {0, 1, SIZE_MAX, 7};
#define CHOPS ((int)(sizeof chops / sizeof *chops))
#define NONCE "abcdefghijklmnopqrst"

/* --- clients --- */

START_TEST(other_methods_are_switched) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.plugin = "mysql_native_password";
    t.auth = "12345678901234567890";
    talk_hello(&t);
    talk_expect(&t, FLT_CLIENT, "3:fe'caching_sha2_password'00'no scramble counts..'00");
    talk_client(&t, "4:'12345678901234567890123456789012'");
    talk_expect(&t, FLT_CLIENT, "5:0104");
    talk_client(&t, "6:'token'00");
    talk_expect(&t, FLT_CLIENT, "7:OK");
    talk_end(&t);
}
END_TEST

START_TEST(clear_password) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.plugin = "mysql_clear_password";
    t.auth = "token";
    talk_hello(&t);
    talk_expect(&t, FLT_CLIENT, "3:OK");
    talk_events(&t, "hello ann shop my tests\nlogin 'token'\n");
    talk_end(&t);
}
END_TEST

START_TEST(bad_tokens) {
    static const char *const bad[] = {"4:'wrong'00", "4:", "4:00'token'", "4:'tokentoken'"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_hello(&t);
        talk_saw(&t, FLT_CLIENT);
        talk_client(&t, bad[i]);
        talk_expect(&t, FLT_CLIENT, "5:E1045");
        ck_assert(t.closed);
        talk_end(&t);
    }
}
END_TEST

START_TEST(no_password_at_all) {
    static const char *const plugins[] = {"caching_sha2_password", "mysql_native_password"};
    for (size_t i = 0; i < 2; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        t.plugin = plugins[i];
        t.auth = "";
        talk_hello(&t);
        if (i == 1) {
            talk_saw(&t, FLT_CLIENT);
            talk_client(&t, "4:");
        }
        talk_expect(&t, FLT_CLIENT, i == 1 ? "5:E1045" : "3:E1045");
        talk_end(&t);
    }
}
END_TEST

START_TEST(a_certificate_is_enough) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.ask = FLT_ASK_NOTHING;
    talk_hello(&t);
    talk_expect(&t, FLT_CLIENT, "3:OK");
    talk_events(&t, "hello ann shop my tests\nlogin ''\n");
    talk_end(&t);
}
END_TEST

START_TEST(long_tokens) {
    char token[9001];
    struct talk t;
    struct buf b = BUF_INIT(20000);
    uint8_t seq = 4;
    memset(token, 'x', sizeof token);
    for (size_t len = 8256; len <= 8258; len++) { /* the limit is 8192 + 64 */
        talk_start(&t, chops[_i], NULL);
        talk_hello(&t);
        token[len - 1] = '\0';
        seq = 4;
        my_put_packet(&b, &seq, token, len);
        t.events[t.events_len = 0] = '\0';
        talk_raw(&t, FLT_CLIENT, buf_at(&b), buf_used(&b));
        ck_assert_int_eq(strstr(t.events, "too long") != NULL, len > 8257);
        token[len - 1] = 'x';
        buf_reset(&b);
        talk_end(&t);
    }
    buf_free(&b);
}
END_TEST

START_TEST(bad_responses) {
    static const char *const bad[] = {"2:",
                                      "2:0102",
                                      "2:0d860f0100000001'-00000000000000000000000'",
                                      "2:0d820f010000000100'12345678901234567890123''ann'00", /* of a protocol before 4.1 */
                                      "1:'x'",
                                      "2:0da6080100000001"
                                      "2d0000000000000000000000000000000000000000000000'ann'00fe'x'"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_client(&t, bad[i]);
        ck_assert_msg(t.closed, "%s", bad[i]);
        talk_end(&t);
    }
    struct talk t;
    struct buf b = BUF_INIT(1u << 20);
    talk_start(&t, chops[_i], NULL);
    my_put_header(&b, 2, 0x00fffffe); /* a great one: refused by its length alone */
    talk_raw(&t, FLT_CLIENT, buf_at(&b), buf_used(&b));
    ck_assert(t.closed);
    buf_free(&b);
    talk_end(&t);
}
END_TEST

/* --- servers --- */

static void digest(const EVP_MD *md, const void *a, size_t alen, const void *b, size_t blen, uint8_t *out) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ck_assert(EVP_DigestInit_ex(ctx, md, NULL) == 1 && EVP_DigestUpdate(ctx, a, alen) == 1 && EVP_DigestUpdate(ctx, b, blen) == 1 &&
              EVP_DigestFinal_ex(ctx, out, NULL) == 1);
    EVP_MD_CTX_free(ctx);
}

/* As a server checks it, who knows H(H(password)) only. */
static void check_scramble(const EVP_MD *md, const uint8_t *answer, bool nonce_first) {
    size_t n = (size_t)EVP_MD_get_size(md);
    uint8_t once[32], stored[32], mix[32], again[32];
    digest(md, "secret", 6, "", 0, once);
    digest(md, once, n, "", 0, stored);
    if (nonce_first)
        digest(md, NONCE, 20, stored, n, mix);
    else
        digest(md, stored, n, NONCE, 20, mix);
    for (size_t i = 0; i < n; i++) once[i] = answer[i] ^ mix[i];
    digest(md, once, n, "", 0, again);
    ck_assert_int_eq(memcmp(again, stored, n), 0);
}

START_TEST(scrambles) {
    struct my_auth a = {0};
    struct gh_err err;
    struct buf out = BUF_INIT(256);
    ck_assert(my_auth_begin(&a, &(struct flt_upstream){.password = "secret"}));
    ck_assert_int_eq(my_auth_first(&a, "mysql_native_password", (const uint8_t *)NONCE, 21, &out, &err), GH_OK);
    ck_assert_uint_eq(buf_used(&out), 20);
    check_scramble(EVP_sha1(), buf_at(&out), true);
    buf_reset(&out);
    ck_assert_int_eq(my_auth_first(&a, "caching_sha2_password", (const uint8_t *)NONCE, 21, &out, &err), GH_OK);
    ck_assert_uint_eq(buf_used(&out), 32);
    check_scramble(EVP_sha256(), buf_at(&out), false);
    ck_assert_int_eq(my_auth_first(&a, "mysql_old_password", (const uint8_t *)NONCE, 20, &out, &err), GH_UNSUPPORTED);
    ck_assert_int_eq(my_auth_first(&a, "mysql_native_password", (const uint8_t *)NONCE, 8, &out, &err), GH_MALFORMED);
    ck_assert_int_eq(my_auth_first(&a, "mysql_clear_password", NULL, 0, &out, &err), GH_UNSUPPORTED);
    buf_free(&out);
    my_auth_end(&a);
}
END_TEST

/* With a password of 32 bytes it is the Ed25519 of RFC 8032, whose seed that is. */
START_TEST(ed25519) {
    uint8_t message[40], seed[32], ours[64], theirs[64];
    for (unsigned round = 0; round < 8; round++) {
        size_t n = sizeof theirs;
        for (size_t i = 0; i < sizeof message; i++) message[i] = (uint8_t)(i * 7 + round * 31);
        for (size_t i = 0; i < sizeof seed; i++) seed[i] = (uint8_t)(i * 13 + round * 57 + 1);
        EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        ck_assert(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 && EVP_DigestSign(ctx, theirs, &n, message, 32 + round) == 1);
        ck_assert(my_ed25519_sign(seed, sizeof seed, message, 32 + round, ours));
        ck_assert_int_eq(memcmp(ours, theirs, 64), 0);
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(key);
    }
}
END_TEST

static void to_auth(struct talk *t) {
    talk_login(t);
    talk_client(t, "0:03'select 1'");
    talk_greet(t);
    talk_saw(t, FLT_SERVER);
    talk_events(t, "");
}

START_TEST(server_switches) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    to_auth(&t);
    talk_server(&t, "2:fe'caching_sha2_password'00'abcdefghijklmnopqrst'00");
    const char *saw = talk_saw(&t, FLT_SERVER);
    ck_assert_int_eq(strncmp(saw, "3:", 2), 0);
    talk_server(&t, "4:0103 5:OK"); /* fast */
    talk_saw(&t, FLT_SERVER);
    talk_pins(&t);
    talk_expect(&t, FLT_SERVER, "0:03'select 1'");
    talk_end(&t);
    talk_start(&t, chops[_i], NULL);
    to_auth(&t);
    talk_server(&t, "2:fe'caching_sha2_password'00'abcdefghijklmnopqrst'00");
    talk_saw(&t, FLT_SERVER);
    talk_server(&t, "4:0104");
    talk_expect(&t, FLT_SERVER, "5:'secret'00"); /* full, on a way that nobody reads */
    talk_end(&t);
}
END_TEST

START_TEST(rsa) {
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    char pem[2048] = "";
    ck_assert(PEM_write_bio_PUBKEY(bio, key) == 1);
    ck_assert_int_gt(BIO_read(bio, pem, sizeof pem - 1), 0);
    BIO_free(bio);
    struct my_auth a = {0};
    struct gh_err err;
    struct buf out = BUF_INIT(1024);
    static const uint8_t full[] = {4};
    bool answer;
    ck_assert(my_auth_begin(&a, &(struct flt_upstream){.password = "a secret that is longer than the nonce", .public_key = pem}));
    ck_assert_int_eq(my_auth_first(&a, "caching_sha2_password", (const uint8_t *)NONCE, 20, &out, &err), GH_OK);
    buf_reset(&out);
    ck_assert_int_eq(my_auth_more(&a, cur_of(full, 1), &out, &answer, &err), GH_OK);
    ck_assert(answer);
    uint8_t plain[256];
    size_t n = sizeof plain;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    ck_assert(EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_decrypt(ctx, plain, &n, buf_at(&out), buf_used(&out)) == 1);
    for (size_t i = 0; i < n; i++) plain[i] ^= (uint8_t)NONCE[i % 20];
    ck_assert_uint_eq(n, strlen("a secret that is longer than the nonce") + 1);
    ck_assert_str_eq((const char *)plain, "a secret that is longer than the nonce");
    ck_assert_int_eq(my_auth_more(&a, cur_of(full, 1), &out, &answer, &err), GH_MALFORMED); /* once is enough */
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    buf_free(&out);
    my_auth_end(&a);
}
END_TEST

START_TEST(logins_that_end) {
    static const struct {
        const char *says, *told;
    } cases[] = {
        {"2:ff15042332383030304163636573732064656e696564", "lost '28000' Access denied\n"},
        {"2:fe'mysql_old_password'00'abcdefgh'00", "lost '' the server wants a way to log in"},
        {"2:fe", "lost '' the server asks for the login of servers before 4.1\n"},
        {"2:fe'mysql_clear_password'00", "lost '' the server wants the password in clear text"},
        {"2:fe'caching_sha2_password'00'abcdefghijklmnopqrst'00 4:0104", "lost '' caching_sha2_password wants the password itself"},
        {"2:fe'caching_sha2_password'00'abcdefghijklmnopqrst'00 4:0102", "lost '' caching_sha2_password: an unknown word"},
        {"2:0104", "lost '' the server says more about a login"},
        {"2:02", "lost '' the server says something else"},
        {"2:", "lost '' an empty packet"},
        {"3:OK", "lost '' a packet of the server has a wrong number\n"},
        {"2:OK 1:ERR", "lost '42S22' a\n"},
        {"2:OK 1:OK 1:04", "lost '' the server's session variables cannot be read\n"},
        {"2:OK 1:OK 1:05 2:03'def' 3:03'def' 4:03'def' 5:03'def' 6:03'def' 7:02'10'00'0'03'gbk'04'shop'",
         "lost '' the server's session is not"},
        {"2:OK 1:OK 1:05 2:03'def' 3:03'def' 4:03'def' 5:03'def' 6:03'def' 7:02'10'00'0'07'utf8mb4'05'other'",
         "lost '' the server's session is not"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        t.clear_refused = true;
        to_auth(&t);
        char one[400];
        snprintf(one, sizeof one, "%s", cases[i].says);
        /* what follows our own message is said when that is there */
        char *next = strstr(one, " 4:0") != NULL ? strstr(one, " 4:0") : strstr(one, " 1:");
        while (next != NULL) {
            *next = '\0';
            talk_server(&t, one);
            talk_saw(&t, FLT_SERVER);
            memmove(one, next + 1, strlen(next + 1) + 1);
            next = strstr(one, " 1:");
        }
        talk_server(&t, one);
        ck_assert_msg(strncmp(t.events, cases[i].told, strlen(cases[i].told)) == 0, "%s: %s", cases[i].says, t.events);
        talk_expect(&t, FLT_CLIENT, "1:E1429");
        ck_assert(flt_idle(t.f));
        talk_end(&t);
    }
}
END_TEST

START_TEST(bad_greetings) {
    static const char *const bad[] = {"0:",
                                      "0:09'5.1'00",
                                      "0:0a'10.11'00",
                                      "0:0a'10.11'000100000031323334353637380000002d0200000000000000000000000000",
                                      "0:ff100423303830303454'oo many'",
                                      "1:0a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct talk t;
        talk_start(&t, chops[_i], NULL);
        talk_login(&t);
        talk_client(&t, "0:03'select 1'");
        talk_server(&t, bad[i]);
        ck_assert_msg(strncmp(t.events, "lost", 4) == 0, "%s", bad[i]);
        talk_expect(&t, FLT_SERVER, "");
        talk_end(&t);
    }
}
END_TEST

START_TEST(tls) {
    struct talk t;
    talk_start(&t, chops[_i], NULL);
    t.tls = FLT_TLS_STARTTLS;
    talk_ready(&t);
    talk_end(&t);
    /* a server without it */
    talk_start(&t, chops[_i], NULL);
    talk_login(&t);
    talk_client(&t, "0:03'select 1'"); /* asks for a server with t.tls NONE */
    t.tls = FLT_TLS_NONE;
    talk_greet(&t);
    talk_expect(&t, FLT_SERVER, "1:login");
    talk_end(&t);
}
END_TEST

START_TEST(settings) {
    struct talk t;
    talk_start(&t, 0, NULL);
    t.settings[0] = (struct flt_kv){"sql_mode", "ANSI,TRADITIONAL"};
    t.settings[1] = (struct flt_kv){"max_statement_time", "30"};
    t.settings[2] = (struct flt_kv){"default_transaction_read_only", "on"};
    t.settings[3] = (struct flt_kv){"gatehouse.principal", "ann@shop.example"};
    t.nsettings = 4;
    to_auth(&t);
    talk_server(&t, "2:OK");
    struct buf *out = flt_out(t.f, FLT_SERVER);
    buf_u8(out, 0);
    const char *text = (const char *)buf_at(out) + 5;
    ck_assert_ptr_nonnull(strstr(
        text,
        ", SESSION sql_mode = 'ANSI,TRADITIONAL', SESSION max_statement_time = 30, SESSION sql_big_selects = 1, SESSION tx_read_only = 1"));
    talk_end(&t);
    talk_start(&t, 0, NULL);
    t.settings[0] = (struct flt_kv){"sql_mode", "a', GLOBAL x = '"};
    t.nsettings = 1;
    talk_login(&t);
    talk_client(&t, "0:03'select 1'");
    ck_assert_int_eq(strncmp(t.events, "lost '' a setting cannot be given", 33), 0);
    talk_end(&t);
}
END_TEST

int main(void) {
    Suite *s = suite_create("my_login");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, other_methods_are_switched, 0, CHOPS);
    tcase_add_loop_test(t, clear_password, 0, CHOPS);
    tcase_add_loop_test(t, bad_tokens, 0, CHOPS);
    tcase_add_loop_test(t, no_password_at_all, 0, CHOPS);
    tcase_add_loop_test(t, a_certificate_is_enough, 0, CHOPS);
    tcase_add_loop_test(t, long_tokens, 0, CHOPS);
    tcase_add_loop_test(t, bad_responses, 0, CHOPS);
    tcase_add_test(t, scrambles);
    tcase_add_test(t, ed25519);
    tcase_add_loop_test(t, server_switches, 0, CHOPS);
    tcase_add_test(t, rsa);
    tcase_add_loop_test(t, logins_that_end, 0, CHOPS);
    tcase_add_loop_test(t, bad_greetings, 0, CHOPS);
    tcase_add_loop_test(t, tls, 0, CHOPS);
    tcase_add_test(t, settings);
    suite_add_tcase(s, t);
    return run_suite(s);
}
