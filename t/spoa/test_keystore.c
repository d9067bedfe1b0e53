/* The key store against a provider on the loopback: a thread that answers each request with what the test says. */
#include <config.h>

#include "spoa/keystore.h"
#include "spoa/log.h"
#include "t/lib/guard.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEY_A                                                                                                                              \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY\","                               \
    "\"y\":\"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\"}"
#define KEY_B "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"b\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define OK    "HTTP/1.1 200 OK\r\nConnection: close\r\n"

static struct {
    int listener, port;
    pthread_t thread;
    pthread_mutex_t lock;
    char discovery[1024], keys[4096]; /* whole answers; "": none, the connection stays open */
    unsigned requests;
    int held; /* the connection of a request that has no answer; -1: none */
} idp = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *serve(void *arg) {
    (void)arg;
    for (;;) {
        char head[2048], answer[4096];
        size_t len = 0;
        int fd = accept(idp.listener, NULL, NULL);
        if (fd < 0) return NULL;
        for (ssize_t n; len < sizeof head - 1 && (n = read(fd, head + len, sizeof head - 1 - len)) > 0;) {
            len += (size_t)n;
            head[len] = '\0';
            if (strstr(head, "\r\n\r\n") != NULL) break;
        }
        pthread_mutex_lock(&idp.lock);
        idp.requests++;
        snprintf(answer, sizeof answer, "%s", strstr(head, ".well-known") != NULL ? idp.discovery : idp.keys);
        if (answer[0] == '\0') {
            if (idp.held >= 0) close(idp.held);
            idp.held = fd;
        }
        pthread_mutex_unlock(&idp.lock);
        if (answer[0] == '\0') continue;
        ck_assert_int_eq(write(fd, answer, strlen(answer)), (ssize_t)strlen(answer));
        close(fd);
    }
}

static void say(char *where, size_t size, const char *text) {
    pthread_mutex_lock(&idp.lock);
    snprintf(where, size, "%s", text);
    pthread_mutex_unlock(&idp.lock);
}
#define SAY_KEYS(text) say(idp.keys, sizeof idp.keys, text)

static unsigned requests(void) {
    pthread_mutex_lock(&idp.lock);
    unsigned n = idp.requests;
    pthread_mutex_unlock(&idp.lock);
    return n;
}

static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned told;

static void setup(void) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    log_init(LOG_ERROR);
    idp.held = -1;
    idp.requests = 0;
    told = 0;
    idp.listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(idp.listener, (struct sockaddr *)&in, sizeof in), 0);
    ck_assert_int_eq(listen(idp.listener, 16), 0);
    ck_assert_int_eq(getsockname(idp.listener, (struct sockaddr *)&in, &len), 0);
    idp.port = ntohs(in.sin_port);
    ck_assert_int_eq(pthread_create(&idp.thread, NULL, serve, NULL), 0);
}

static void teardown(void) {
    shutdown(idp.listener, SHUT_RDWR);
    pthread_join(idp.thread, NULL);
    close(idp.listener);
    if (idp.held >= 0) close(idp.held);
}

static char issuer[64], url[64];

static struct keysource_conf conf_of(bool discovery) {
    snprintf(issuer, sizeof issuer, "http://127.0.0.1:%d/r", idp.port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/keys", idp.port);
    return (struct keysource_conf){.issuer = issuer,
                                   .jwks_url = discovery ? NULL : url,
                                   .allow_http = true,
                                   .refresh_min_ms = 1000,
                                   .refresh_max_ms = 3600000,
                                   .refetch_ms = 60000,
                                   .timeout_ms = 300};
}

static struct keysource *source_of(const struct keysource_conf *c) {
    struct keysource *s = keysource_new(c);
    ck_assert_ptr_nonnull(s);
    return s;
}

/* Waits, up to the test's own time limit, until the source has been tried and is as it should be. */
static struct keysource_status until(struct keysource *s, size_t keys, bool failing) {
    struct keysource_status st;
    for (;;) {
        keysource_status(s, &st);
        if (st.tried && st.keys == keys && st.failing == failing) return st;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
}

static bool has_kid(struct keysource *s, const char *kid) {
    struct jwks *keys = keysource_keys(s);
    bool found = false;
    if (keys == NULL) return false;
    for (size_t i = 0; i < jwks_count(keys); i++) found = found || strcmp(jwks_kid(keys, i), kid) == 0;
    jwks_unref(keys);
    return found;
}

/* --- logins that wait --- */

static void run(struct worker *w, struct wmsg *m) {
    (void)w;
    (void)m;
    pthread_mutex_lock(&told_lock);
    told++;
    pthread_mutex_unlock(&told_lock);
}

static void until_told(unsigned n) {
    for (;;) {
        pthread_mutex_lock(&told_lock);
        unsigned now = told;
        pthread_mutex_unlock(&told_lock);
        if (now == n) return;
        ck_assert_uint_lt(now, n);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
}

/* Asks as a login does, and waits for the end of the fetch. */
static void poke(struct keysource *s, struct worker *w) {
    static struct keywait wait = {.msg.run = run};
    pthread_mutex_lock(&told_lock);
    unsigned before = told;
    pthread_mutex_unlock(&told_lock);
    while (!keysource_wait(s, &wait, w)) nanosleep(&(struct timespec){0, 5000000}, NULL);
    until_told(before + 1);
}

START_TEST(by_address) {
    struct keysource_conf c = conf_of(false);
    struct keysource *s = source_of(&c);
    struct keystore *k = keystore_start(NULL);
    SAY_KEYS(OK "\r\n{\"keys\":[" KEY_A "]}");
    ck_assert_ptr_nonnull(k);
    ck_assert(keystore_use(k, &s, 1));
    until(s, 1, false);
    ck_assert(has_kid(s, "a"));
    ck_assert_uint_eq(requests(), 1);
    keystore_stop(k);
    keysource_free(s);
}
END_TEST

START_TEST(by_discovery) {
    char text[512];
    struct keysource_conf c = conf_of(true);
    struct keysource *s = source_of(&c);
    struct keystore *k = keystore_start(NULL);
    snprintf(text, sizeof text, OK "\r\n{\"issuer\":\"%s\",\"jwks_uri\":\"%s\"}", issuer, url);
    say(idp.discovery, sizeof idp.discovery, text);
    SAY_KEYS(OK "\r\n{\"keys\":[" KEY_A "," KEY_B "]}");
    ck_assert(keystore_use(k, &s, 1));
    until(s, 2, false);
    ck_assert_uint_eq(requests(), 2);
    keystore_stop(k);
    keysource_free(s);
}
END_TEST

/* Each answer is refused; the keys from before stay. */
START_TEST(rubbish_takes_nothing_away) {
    static const struct {
        const char *answer, *why;
    } v[] = {
        {"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "redirects are not followed"},
        {"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "status is 500"},
        {"HTTP/1.1 204 No\r\n\r\n", "status is 204"},
        {OK "\r\n<html>", "not valid JSON"},
        {OK "\r\n{\"keys\":[]}", "no key that can verify"},
        {OK "\r\n{\"keys\":[" KEY_A "," KEY_A "]}", "earlier key"},
        {OK "Content-Length: 99999999\r\n\r\n{", "too large"},
        {OK "Content-Length: 100\r\n\r\n{", ""},
        {OK "Content-Encoding: gzip\r\n\r\n\x1f\x8b", "not valid JSON"},
        {"nonsense\r\n\r\n", ""},
        {"", "no answer within 300 ms"},
    };
    struct keysource_conf c = conf_of(false);
    c.refetch_ms = 1; /* a login that asks is served at once */
    c.refresh_min_ms = 3600000;
    struct worker *w;
    ck_assert(worker_start(&w, &(struct worker_conf){.stack = 1 << 20}));
    struct keysource *s = source_of(&c);
    struct keystore *k = keystore_start(NULL);
    SAY_KEYS(v[0].answer);
    ck_assert(keystore_use(k, &s, 1));
    until(s, 0, true);
    ck_assert_ptr_null(keysource_keys(s));
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        SAY_KEYS(OK "\r\n{\"keys\":[" KEY_A "]}");
        poke(s, w);
        until(s, 1, false);
        SAY_KEYS(v[i].answer);
        poke(s, w);
        struct keysource_status st = until(s, 1, true);
        ck_assert_msg(strstr(st.why, v[i].why) != NULL && st.todo != NULL, "%zu: %s", i, st.why);
        ck_assert(has_kid(s, "a"));
    }
    keystore_stop(k);
    keysource_free(s);
    worker_stop(w);
    worker_join(w);
    worker_free(w);
}
END_TEST

START_TEST(rotation) {
    struct keysource_conf c = conf_of(false);
    struct keysource *s = source_of(&c);
    struct keystore *k = keystore_start(NULL);
    SAY_KEYS(OK "Cache-Control: max-age=1\r\n\r\n{\"keys\":[" KEY_A "]}");
    ck_assert(keystore_use(k, &s, 1));
    until(s, 1, false);
    struct jwks *old = keysource_keys(s);
    SAY_KEYS(OK "Cache-Control: max-age=1\r\n\r\n{\"keys\":[" KEY_A "," KEY_B "]}");
    until(s, 2, false);
    SAY_KEYS(OK "Cache-Control: max-age=1\r\n\r\n{\"keys\":[" KEY_B "]}");
    until(s, 1, false);
    ck_assert(!has_kid(s, "a") && has_kid(s, "b"));
    ck_assert_str_eq(jwks_kid(old, 0), "a"); /* whoever verifies with it at the moment still may */
    jwks_unref(old);
    keystore_stop(k);
    keysource_free(s);
}
END_TEST

START_TEST(an_unknown_key) {
    static struct keywait wait[KEYS_WAITING_MAX + 1];
    struct worker *w;
    ck_assert(worker_start(&w, &(struct worker_conf){.stack = 1 << 20}));
    struct keysource_conf c = conf_of(false);
    struct keysource *s = source_of(&c);
    struct keystore *k = keystore_start(NULL);
    for (size_t i = 0; i <= KEYS_WAITING_MAX; i++) wait[i].msg.run = run;
    ck_assert(!keysource_wait(s, &wait[0], w)); /* nobody fetches for it */
    SAY_KEYS("");
    ck_assert(keystore_use(k, &s, 1));
    while (requests() == 0) nanosleep(&(struct timespec){0, 5000000}, NULL);
    /* While the fetch is under way all may wait for it, so many at most; it fails after 300 ms. */
    for (size_t i = 0; i < KEYS_WAITING_MAX; i++) ck_assert(keysource_wait(s, &wait[i], w));
    ck_assert(!keysource_wait(s, &wait[KEYS_WAITING_MAX], w));
    until_told(KEYS_WAITING_MAX);
    ck_assert(!keysource_wait(s, &wait[0], w)); /* just now */
    keystore_stop(k);
    keysource_free(s);

    c.refetch_ms = 200;
    c.refresh_min_ms = 3600000;
    s = source_of(&c);
    k = keystore_start(NULL);
    SAY_KEYS(OK "\r\n{\"keys\":[" KEY_A "]}");
    ck_assert(keystore_use(k, &s, 1));
    until(s, 1, false);
    unsigned before = requests();
    for (int i = 0; i < 100; i++) ck_assert(!keysource_wait(s, &wait[0], w)); /* no flood reaches the provider */
    nanosleep(&(struct timespec){0, 250000000}, NULL);
    SAY_KEYS(OK "\r\n{\"keys\":[" KEY_A "," KEY_B "]}");
    ck_assert(keysource_wait(s, &wait[0], w));
    until_told(KEYS_WAITING_MAX + 1);
    ck_assert(has_kid(s, "b"));
    ck_assert_uint_eq(requests(), before + 1);
    /* The end lets go of who waits. */
    nanosleep(&(struct timespec){0, 250000000}, NULL);
    SAY_KEYS("");
    ck_assert(keysource_wait(s, &wait[0], w));
    keystore_stop(k);
    until_told(KEYS_WAITING_MAX + 2);
    ck_assert(!keysource_wait(s, &wait[0], w));
    keysource_free(s);
    worker_stop(w);
    worker_join(w);
    worker_free(w);
}
END_TEST

/* A reload: what is alike keeps its keys, without a word to the provider. */
START_TEST(a_new_configuration) {
    struct keysource_conf c = conf_of(false), other = conf_of(false);
    struct keysource *s = source_of(&c), *again = source_of(&c), *slower, *twice[3];
    struct keystore *k = keystore_start(NULL);
    c.refresh_min_ms = other.refresh_min_ms = 3600000;
    keysource_free(s);
    keysource_free(again);
    s = source_of(&c);
    again = source_of(&c);
    SAY_KEYS(OK "\r\n{\"keys\":[" KEY_A "]}");
    ck_assert(keystore_use(k, &s, 1));
    until(s, 1, false);
    ck_assert(keystore_use(k, &again, 1));
    ck_assert(has_kid(again, "a"));
    keysource_free(s); /* the old snapshot goes */
    ck_assert(has_kid(again, "a"));
    ck_assert_uint_eq(requests(), 1);
    /* The provider is down when only the times change: the keys stay. */
    SAY_KEYS("");
    other.refetch_ms = 1000;
    slower = source_of(&other);
    ck_assert(keystore_use(k, &slower, 1));
    ck_assert(has_kid(slower, "a"));
    until(slower, 1, true);
    /* Another address is another origin. */
    other.jwks_url = issuer;
    struct keysource *elsewhere = source_of(&other);
    ck_assert(keystore_use(k, &elsewhere, 1));
    ck_assert(!has_kid(elsewhere, "a"));
    /* The same twice, and nothing. */
    twice[0] = source_of(&other);
    twice[1] = NULL;
    twice[2] = source_of(&other);
    ck_assert(keystore_use(k, twice, 3));
    ck_assert(keystore_use(k, NULL, 0));
    keysource_free(twice[0]);
    keysource_free(twice[2]);
    keysource_free(elsewhere);
    keysource_free(slower);
    keysource_free(again);
    keystore_stop(k);
    keystore_stop(NULL);
}
END_TEST

int main(void) {
    Suite *s = suite_create("keystore");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, by_address);
    tcase_add_test(t, by_discovery);
    tcase_add_test(t, rubbish_takes_nothing_away);
    tcase_add_test(t, rotation);
    tcase_add_test(t, an_unknown_key);
    tcase_add_test(t, a_new_configuration);
    suite_add_tcase(s, t);
    return run_suite(s);
}
