/* Connecting: the first address that answers, the error of the last, and a time that ends. */
#include "spoa/dial.h"
#include "t/lib/guard.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int got_fd, got_err, calls;
static struct conf_addr got_addr;
static struct event_base *base;

static void done(void *arg, int fd, const struct conf_addr *addr, int err) {
    ck_assert_ptr_eq(arg, &calls);
    got_fd = fd;
    got_err = err;
    got_addr = *addr;
    calls++;
}

static int listener(struct conf_addr *a, int backlog) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof in;
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, len), 0);
    if (backlog >= 0) ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    memcpy(&a->ss, &in, len);
    a->len = len;
    return fd;
}

static void unix_addr(struct conf_addr *a, const char *path) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    memcpy(&a->ss, &un, sizeof un);
    a->len = sizeof un;
}

static void dial(const struct conf_addr *a, size_t n, uint64_t timeout_ms) {
    calls = 0;
    ck_assert_ptr_nonnull(dial_start(base, a, n, timeout_ms, done, &calls));
    ck_assert_int_eq(calls, 0); /* never from within dial_start() */
    event_base_dispatch(base);
    ck_assert_int_eq(calls, 1);
}

static void setup(void) { base = event_base_new(); }
static void teardown(void) { event_base_free(base); }

START_TEST(second_answers) {
    struct conf_addr a[2];
    int closed = listener(&a[0], -1), open = listener(&a[1], 4);
    dial(a, 2, 5000);
    ck_assert_int_ge(got_fd, 0);
    ck_assert_int_eq(memcmp(&got_addr.ss, &a[1].ss, a[1].len), 0);
    close(got_fd);
    close(closed);
    close(open);
}
END_TEST

START_TEST(nobody_answers) {
    struct conf_addr a[2];
    int closed = listener(&a[0], -1);
    unix_addr(&a[1], "/nowhere/at/all");
    dial(a, 2, 5000);
    ck_assert_int_eq(got_fd, -1);
    ck_assert_int_eq(got_err, ENOENT);
    dial(a, 1, 5000);
    ck_assert_int_eq(got_fd, -1);
    ck_assert_int_eq(got_err, ECONNREFUSED);
    close(closed);
}
END_TEST

/* A Unix listener whose backlog is full: EAGAIN, tried again until the time is over, or until there is room. */
START_TEST(backlog) {
    struct conf_addr a;
    char path[64];
    int fill[8], n = 0;
    snprintf(path, sizeof path, "/tmp/gh-dial.%d", (int)getpid());
    unix_addr(&a, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a.ss, a.len), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    for (; n < 8; n++) {
        fill[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(fill[n], (struct sockaddr *)&a.ss, a.len) != 0) break;
    }
    ck_assert_int_lt(n, 8);
    dial(&a, 1, 100);
    ck_assert_int_eq(got_fd, -1);
    for (int i = 0; i <= n; i++) close(fill[i]);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(cancelled) {
    struct conf_addr a;
    int open = listener(&a, 4);
    calls = 0;
    struct dial *d = dial_start(base, &a, 1, 5000, done, &calls);
    dial_cancel(d);
    dial_cancel(NULL);
    event_base_dispatch(base);
    ck_assert_int_eq(calls, 0);
    close(open);
}
END_TEST

int main(void) {
    Suite *s = suite_create("dial");
    TCase *t = tcase_create("dial");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, second_answers);
    tcase_add_test(t, nobody_answers);
    tcase_add_test(t, backlog);
    tcase_add_test(t, cancelled);
    suite_add_tcase(s, t);
    return run_suite(s);
}
