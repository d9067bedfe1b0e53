/* A server that closes behind our back: the session is told within the same turn, by the write that fails, because no readiness would wake it any more. And who is slow.
 * The sockets are real, the TLS is OpenSSL's; the filter is one that only keeps what it is told. */
#include "filters/filter_impl.h"
#include "spoa/pump.h"
#include "t/lib/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORDS "a statement that nobody will read"

/* --- a filter that notes the ends --- */

static struct flt filter;
static int ends[2]; /* flt_eof() for each side */
static int terminated;

static size_t take_all(struct flt *f, enum flt_side side, const uint8_t *data, size_t len) {
    (void)f, (void)side, (void)data;
    return len;
}

static void note_end(struct flt *f, enum flt_side side) {
    ends[side]++;
    if (side == FLT_SERVER) buf_str(flt_out(f, FLT_CLIENT), "the server is gone"); /* what a waiting client is told */
}

static void note_terminate(struct flt *f, const char *sqlstate, const char *message, const char *hint) {
    (void)sqlstate, (void)message, (void)hint;
    terminated++;
    flt_post_close(f, GH_OK, "terminated");
}

static const struct flt_ops ops = {.feed = take_all, .eof = note_end, .terminate = note_terminate};

/* --- the world --- */

static struct event_base *base;
static struct pump pump;
static uint8_t scratch[16384];
static int client, server; /* the peers' ends */
static const char *shaken; /* "": well; NULL: not yet */
static int closed;

static void on_event(void *owner, const struct flt_event *ev) { (void)owner, (void)ev; }
static void on_tls(void *owner, const char *why) {
    (void)owner;
    shaken = why != NULL ? why : "";
}
static void on_closed(void *owner) {
    (void)owner;
    closed++;
}

static int pair(int *peer) {
    int fd[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
    *peer = fd[1];
    return fd[0];
}

static int far_server;
static void setup(void) {
    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    base = event_base_new();
    flt_init(&filter, &ops, &(struct flt_conf){0});
    ends[0] = ends[1] = terminated = closed = 0;
    shaken = NULL;
    pump = (struct pump){.base = base,
                         .filter = &filter,
                         .scratch = scratch,
                         .scratch_size = sizeof scratch,
                         .mark = 65536,
                         .on_event = on_event,
                         .on_tls = on_tls,
                         .on_closed = on_closed};
    pump_init(&pump);
    ck_assert(pump_attach(&pump, FLT_CLIENT, pair(&client)));
    far_server = pair(&server);
    ck_assert(pump_attach(&pump, FLT_SERVER, far_server));
    pump_run(&pump);
}

static void teardown(void) {
    pump_abort(&pump);
    ck_assert_int_eq(closed, 1);
    flt_release(&filter);
    event_base_free(base);
    close(client);
    if (server >= 0) close(server);
}

static void client_was_told(void) {
    char text[64] = "";
    ck_assert_int_eq(ends[FLT_SERVER], 1);
    ck_assert_int_eq(ends[FLT_CLIENT], 0);
    ck_assert_int_gt(read(client, text, sizeof text - 1), 0);
    ck_assert_str_eq(text, "the server is gone");
    ck_assert_uint_eq(buf_used(flt_out(&filter, FLT_SERVER)), 0);
    pump_run(&pump); /* once */
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(ends[FLT_SERVER], 1);
}

/* No turn of the loop: what could tell by being readable is not looked at. */
static void send_words(void) {
    buf_str(flt_out(&filter, FLT_SERVER), WORDS);
    pump_run(&pump);
}

START_TEST(plain_peer_closed) {
    close(server);
    server = -1;
    send_words();
    client_was_told();
}
END_TEST

START_TEST(plain_read_first) {
    close(server);
    server = -1;
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(ends[FLT_SERVER], 1);
    send_words(); /* a write behind the end that was seen */
    client_was_told();
}
END_TEST

START_TEST(client_gone) {
    close(client);
    client = open("/dev/null", O_RDONLY | O_CLOEXEC);
    buf_str(flt_out(&filter, FLT_CLIENT), WORDS);
    pump_run(&pump);
    ck_assert_int_eq(ends[FLT_CLIENT], 1);
    ck_assert_int_eq(ends[FLT_SERVER], 0);
    ck_assert_int_eq(terminated, 1); /* its statement does not run on for nobody */
}
END_TEST

/* --- TLS --- */

static char ca_path[] = "/tmp/test_pump.XXXXXX";
static EVP_PKEY *key;
static X509 *cert;

static void make_certificate(void) {
    key = EVP_EC_gen("P-256");
    cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_set_version(cert, 2);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"db.example", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:db.example");
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
    ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
    int fd = mkstemp(ca_path);
    FILE *f = fdopen(fd, "w");
    ck_assert(f != NULL && PEM_write_X509(f, cert) == 1 && fclose(f) == 0);
}

static SSL *peer;
static SSL_CTX *peer_ctx;

static void tls_setup(void) {
    char why[300];
    setup();
    make_certificate();
    peer_ctx = SSL_CTX_new(TLS_server_method());
    ck_assert(SSL_CTX_use_certificate(peer_ctx, cert) == 1 && SSL_CTX_use_PrivateKey(peer_ctx, key) == 1);
    peer = SSL_new(peer_ctx);
    SSL_set_fd(peer, server);
    struct tls_ctx *ctx = tls_ctx_new(&(struct tls_conf){.server_name = "db.example", .ca_file = ca_path}, why, sizeof why);
    ck_assert_msg(ctx != NULL, "%s", why);
    struct tls_conn *conn = tls_conn_new(ctx, far_server);
    tls_ctx_unref(ctx);
    ck_assert(conn != NULL && pump_tls(&pump, conn));
    pump_run(&pump);
    for (int i = 0; i < 1000 && (shaken == NULL || !SSL_is_init_finished(peer)); i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        SSL_accept(peer);
    }
    ck_assert_msg(shaken != NULL && shaken[0] == '\0', "%s", shaken != NULL ? shaken : "no handshake");
    pump_run(&pump);
    event_base_loop(base, EVLOOP_NONBLOCK); /* the session tickets */
    char text[sizeof WORDS];
    send_words();
    ck_assert_int_eq(SSL_read(peer, text, sizeof text), sizeof WORDS - 1);
}

static void tls_teardown(void) {
    SSL_free(peer);
    SSL_CTX_free(peer_ctx);
    X509_free(cert);
    EVP_PKEY_free(key);
    unlink(ca_path);
    memcpy(ca_path + strlen(ca_path) - 6, "XXXXXX", 6);
    teardown();
}

static void close_server(void) {
    close(server);
    server = -1;
}

START_TEST(tls_peer_closed) {
    close_server();
    send_words();
    client_was_told();
}
END_TEST

/* PostgreSQL's end of a session that it throws out: a warning in TLS, then the socket. */
START_TEST(tls_says_goodbye_and_closes) {
    SSL_shutdown(peer);
    close_server();
    send_words();
    client_was_told();
}
END_TEST

/* As a server does that does not like the client's certificate: with TLS 1.3 after the client thinks that all is well. */
START_TEST(tls_alert_and_close) {
    static const unsigned char nonsense[] = {0x17, 0x03, 0x03, 0x00, 0x20, 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14,
                                             15,   16,   17,   18,   19,   20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};
    int through[2];
    char text[64];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, through), 0);
    /* What the peer cannot decrypt makes it send a fatal alert. */
    SSL_set_rfd(peer, through[0]);
    ck_assert_int_eq(write(through[1], nonsense, sizeof nonsense), sizeof nonsense);
    ck_assert_int_le(SSL_read(peer, text, sizeof text), 0);
    close(through[0]);
    close(through[1]);
    close_server();
    send_words();
    client_was_told();
}
END_TEST

/* The alert alone: the write still goes, and what is read says that all is over. */
START_TEST(tls_goodbye_alone) {
    SSL_shutdown(peer);
    send_words();
    ck_assert_int_eq(ends[FLT_SERVER], 0);
    event_base_loop(base, EVLOOP_NONBLOCK);
    client_was_told();
}
END_TEST

/* Far less than a socket needs to say that it has room again. */
START_TEST(slow_is_not_stalled) {
    static char some[1 << 18], got[1 << 16];
    for (int i = 0; i < 4; i++) buf_put(flt_out(&filter, FLT_SERVER), some, sizeof some);
    pump_run(&pump);
    uint64_t since = pump.side[FLT_SERVER].blocked_ms;
    ck_assert(since != 0);
    ck_assert_uint_eq(pump_stalled(&pump, since + 1000), 1000);
    ck_assert_uint_eq(pump_stalled(&pump, since + 5000), 5000);
    ck_assert_int_eq(read(server, got, sizeof got), sizeof got);
    ck_assert_uint_eq(pump_stalled(&pump, since + 6000), 0);
    ck_assert_uint_eq(pump_stalled(&pump, since + 9000), 3000);
    for (size_t left = sizeof some * 4 - sizeof got; left > 0;) {
        ssize_t n = read(server, got, sizeof got);
        if (n > 0) left -= (size_t)n;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    ck_assert_uint_eq(pump_stalled(&pump, since + 20000), 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("pump");
    TCase *t = tcase_create("plain"), *u = tcase_create("tls");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, plain_peer_closed);
    tcase_add_test(t, plain_read_first);
    tcase_add_test(t, client_gone);
    tcase_add_test(t, slow_is_not_stalled);
    tcase_add_checked_fixture(u, tls_setup, tls_teardown);
    tcase_add_test(u, tls_peer_closed);
    tcase_add_test(u, tls_says_goodbye_and_closes);
    tcase_add_test(u, tls_alert_and_close);
    tcase_add_test(u, tls_goodbye_alone);
    suite_add_tcase(s, t);
    suite_add_tcase(s, u);
    return run_suite(s);
}
