#include "spoa/log.h"
#include "t/lib/guard.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char seen[1 << 20];

/* Runs fn with fd 2 at a temporary file during log_init(); what was logged is in seen. */
static void capture(void (*fn)(void)) {
    char name[] = "/tmp/gh-log-XXXXXX";
    int fd = mkstemp(name), err = dup(2);
    ck_assert_int_ge(fd, 0);
    unlink(name);
    ck_assert_int_eq(dup2(fd, 2), 2);
    log_init(LOG_INFO);
    ck_assert_int_eq(dup2(err, 2), 2); /* the log must not follow fd 2 */
    fn();
    log_init(LOG_INFO);
    ssize_t n = pread(fd, seen, sizeof seen - 1, 0);
    ck_assert_int_ge(n, 0);
    seen[n] = '\0';
    close(fd);
    close(err);
}

static size_t lines(void) {
    size_t n = 0;
    for (const char *p = seen; (p = strchr(p, '\n')) != NULL; p++) n++;
    return n;
}

static void forge(void) {
    log_event(LOG_INFO, "login", "user", "a\nlevel=error event=x \"q\" \\ \x7f\x1b[31m", "null", NULL, "utf8",
              "\xc3\xa9 \xff \xc2\x9b \xe2\x80\xae", NULL);
}
START_TEST(values_cannot_forge) {
    capture(forge);
    ck_assert_uint_eq(lines(), 1);
    ck_assert_ptr_nonnull(strstr(seen, " level=info event=login user=\"a\\nlevel=error event=x \\\"q\\\" \\\\ \\x7f\\x1b[31m\" null=- "));
    ck_assert_ptr_nonnull(strstr(seen, "utf8=\"\xc3\xa9 \\xff \\xc2\\x9b \\xe2\\x80\\xae\"\n"));
    ck_assert_int_eq(strncmp(seen, "time=2", 6), 0);
    ck_assert(seen[28] == 'Z' && seen[29 - 5] == '.');
}
END_TEST

static void levels(void) {
    log_event(LOG_DEBUG, "no", NULL);
    log_set_level(LOG_DEBUG);
    log_event(LOG_DEBUG, "yes", NULL);
    log_set_level(LOG_ERROR);
    log_event(LOG_WARN, "no", NULL);
}
START_TEST(level_filters) {
    capture(levels);
    ck_assert_uint_eq(lines(), 1);
    ck_assert_ptr_nonnull(strstr(seen, "level=debug event=yes\n"));
}
END_TEST

static void big(void) {
    static char v[100000];
    memset(v, 'x', sizeof v - 1);
    log_event(LOG_WARN, "long", "v", v, "after", "1", NULL);
    memset(v, '\n', sizeof v - 1);
    log_event(LOG_WARN, "many", "a", v, "b", v, "c", v, NULL);
}
START_TEST(long_values_are_cut) {
    capture(big);
    ck_assert_uint_eq(lines(), 2);
    ck_assert_ptr_nonnull(strstr(seen, "xxx...\" after=\"1\"\n"));
    ck_assert_ptr_nonnull(strstr(seen, "\\n...\" cut=\"1\"\n"));
    ck_assert_uint_lt(strlen(seen), 12000);
}
END_TEST

START_TEST(fmt_keeps_eight) {
    const char *s[8];
    for (int i = 0; i < 8; i++) s[i] = log_fmt("%d", i);
    for (int i = 0; i < 8; i++) ck_assert_int_eq(atoi(s[i]), i);
}
END_TEST

static void *chatter(void *arg) {
    for (int i = 0; i < 200; i++) log_event(LOG_INFO, "tick", "who", arg, NULL);
    return NULL;
}
static void threads(void) {
    pthread_t t[4];
    char names[][17] = {"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc", "dddddddddddddddd"};
    for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, chatter, names[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
}
START_TEST(lines_do_not_mix) {
    capture(threads);
    ck_assert_uint_eq(lines(), 800);
    for (char *p = seen, *nl; *p != '\0'; p = nl + 1) {
        nl = strchr(p, '\n');
        ck_assert_ptr_nonnull(nl);
        ck_assert_int_eq(nl - p, 29 + (int)strlen(" level=info event=tick who=\"aaaaaaaaaaaaaaaa\""));
    }
}
END_TEST

START_TEST(repeated_causes_are_held_back) {
    unsigned more = 7;
    ck_assert(log_due("one", &more));
    ck_assert_uint_eq(more, 0);
    ck_assert(!log_due("one", &more));
    ck_assert(!log_due("one", &more));
    ck_assert(log_due("two", &more));
    ck_assert_uint_eq(more, 0);
    /* More causes than are remembered: the oldest may be said again, and nothing breaks. */
    for (int i = 0; i < 1000; i++) ck_assert(log_due(log_fmt("cause %d", i), &more));
    ck_assert(!log_due("cause 999", &more));
}
END_TEST

int main(void) {
    Suite *s = suite_create("log");
    TCase *t = tcase_create("log");
    tcase_add_test(t, values_cannot_forge);
    tcase_add_test(t, level_filters);
    tcase_add_test(t, long_values_are_cut);
    tcase_add_test(t, fmt_keeps_eight);
    tcase_add_test(t, lines_do_not_mix);
    tcase_add_test(t, repeated_causes_are_held_back);
    suite_add_tcase(s, t);
    return run_suite(s);
}
