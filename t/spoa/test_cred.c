/* Secrets that commands print, and credentials that are read again when a database refuses them. */
#include "spoa/cred.h"
#include "spoa/log.h"
#include "t/lib/guard.h"

#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], why[512];

static void setup(void) {
    snprintf(dir, sizeof dir, "/tmp/gh-cred.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    secret_init();
}

static const char *file(const char *name) {
    static char path[4][128];
    static unsigned at;
    char *p = path[at++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const char *text, mode_t mode) {
    int fd = open(file(name), O_WRONLY | O_CREAT | O_TRUNC, mode);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void teardown(void) {
    static const char *const names[] = {"pw", "log", "pid", "count"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(file(names[i]));
    rmdir(dir);
}

static char *shell_within(const char *script, unsigned timeout_ms, int stop_fd) {
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const struct secret_command c = {.argv = argv, .timeout_ms = timeout_ms, .stop_fd = stop_fd};
    why[0] = '\0';
    return secret_run(&c, why, sizeof why);
}
static char *shell(const char *script) { return shell_within(script, 20000, -1); }

static void gives(const char *script, const char *text) {
    char *secret = shell(script);
    ck_assert_msg(secret != NULL, "%s: %s", script, why);
    ck_assert_str_eq(secret, text);
    secret_free(secret);
}

static void fails(const char *script, const char *reason) {
    char *secret = shell(script);
    ck_assert_ptr_null(secret);
    ck_assert_msg(strstr(why, reason) != NULL, "%s: %s", script, why);
}

START_TEST(output) {
    gives("echo s3cret", "s3cret");
    gives("printf 's3\\ncret\\n\\n'", "s3\ncret\n");
    gives("printf s3cret; exec >&-; exec 2>&-", "s3cret");
    gives("head -c 4096 /dev/zero | tr '\\0' x | sed 's/^x/y/' | cut -c 1-5", "yxxxx");
    fails("true", "is empty");
    fails("echo", "is empty");
    fails("printf 'a\\0b'", "NUL");
    fails("echo s3cret; exit 3", "exited with 3");
    fails("echo s3cret; kill -9 $$", "signal 9");
    fails("head -c 5000 /dev/zero | tr '\\0' x", "more than 4096");
    fails("yes", "more than 4096");
    ck_assert_msg(strstr(why, "s3cret") == NULL, "%s", why);
}
END_TEST

/* Nothing of ours: no descriptor, no environment, no signal mask, no input, no terminal's session. */
START_TEST(surroundings) {
    char script[200];
    int fd = dup(2); /* without CLOEXEC */
    setenv("GH_TEST_SECRET", "do not pass on", 1);
    snprintf(script, sizeof script, "test -e /proc/self/fd/%d && echo open; ls /proc/self/fd | wc -l", fd);
    gives(script, "4"); /* 0, 1, 2 and the one that ls reads the folder with */
    gives("env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=", "PATH=/usr/local/bin:/usr/bin:/bin");
    gives("pwd; cat", "/");
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    gives("grep SigBlk /proc/self/status | tr -d '\\t'", "SigBlk:0000000000000000");
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(fd);
}
END_TEST

/* Killed with what it started; what left its pipe open behind is not waited for. */
START_TEST(time_is_over) {
    char script[300];
    snprintf(script, sizeof script, "sleep 1000 & echo $! > %s; wait", file("pid"));
    ck_assert_ptr_null(shell_within(script, 500, -1));
    ck_assert_msg(strstr(why, "did not end within") != NULL, "%s", why);
    FILE *f = fopen(file("pid"), "r");
    int pid = 0;
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%d", &pid), 1);
    fclose(f);
    for (int i = 0; i < 500 && kill(pid, 0) == 0; i++) usleep(10000); /* init reaps it */
    char state[64], path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    f = fopen(path, "r");
    if (f != NULL) {
        ck_assert_int_eq(fscanf(f, "%*d %*s %63s", state), 1);
        ck_assert_str_eq(state, "Z");
        fclose(f);
    }
    gives("echo s3cret; sleep 1000 &", "s3cret");
    int stop = eventfd(1, 0);
    ck_assert_ptr_null(shell_within("sleep 1000", 600000, stop));
    ck_assert_msg(strstr(why, "gatehouse ends") != NULL, "%s", why);
    close(stop);
}
END_TEST

/* What it complains of is in the log, cut, and never the secret. */
START_TEST(complaints) {
    char text[8192] = "";
    int saved = dup(2), fd = open(file("log"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 2);
    log_init(LOG_INFO);
    char *a = shell("echo 'vault is sealed' >&2; exit 2"), *b = shell("set -x; echo s3cret"),
         *c = shell_within("echo s3cret; yes s3cret >&2", 1000, -1);
    char *d = shell("echo s3cret; head -c 295 /dev/zero | tr '\\0' . >&2; printf s3cret >&2");
    dup2(saved, 2);
    log_init(LOG_INFO);
    close(saved);
    ck_assert_int_ge(pread(fd, text, sizeof text - 1, 0), 0);
    close(fd);
    ck_assert_ptr_null(a);
    ck_assert_ptr_null(c);
    ck_assert_ptr_nonnull(strstr(text, "vault is sealed"));
    ck_assert_ptr_nonnull(strstr(text, "kept back"));
    ck_assert_msg(strstr(text, "s3cre") == NULL, "%s", text);
    secret_free(b);
    secret_free(d);
}
END_TEST

/* --- renewal --- */

struct asker {
    struct cred_wait wait;
    sem_t done;
};
static void answered(struct worker *w, struct wmsg *m) {
    (void)w;
    sem_post(&((struct asker *)(void *)m)->done);
}

static struct worker *worker;
static struct credpool *pool;

static enum cred_news renew(struct cred *c, const struct cred_value *used) {
    struct asker a = {.wait = {.msg.run = answered, .worker = worker}};
    sem_init(&a.done, 0, 0);
    cred_renew(pool, c, used, &a.wait);
    while (sem_wait(&a.done) != 0) continue;
    sem_destroy(&a.done);
    return a.wait.news;
}

START_TEST(renewed) {
    ck_assert(worker_start(&worker, &(struct worker_conf){.stack = 1u << 20}));
    pool = credpool_new();
    put("pw", "one\n", 0600);
    struct cred *c = cred_new(&(struct cred_conf){.name = "db", .file = file("pw")}, why, sizeof why);
    ck_assert_ptr_nonnull(c);
    struct cred_value *one = cred_get(c);
    ck_assert_str_eq(cred_text(one), "one");
    put("pw", "two\n", 0600);
    ck_assert_int_eq(renew(c, one), CRED_NEWER);
    struct cred_value *two = cred_get(c);
    ck_assert_str_eq(cred_text(two), "two");
    ck_assert_str_eq(cred_text(one), "one"); /* whoever holds it still can */
    put("pw", "three\n", 0600);
    uint64_t before = worker_now_ms();
    ck_assert_int_eq(renew(c, one), CRED_NEWER); /* two, which somebody else has read */
    ck_assert_int_eq(renew(c, two), CRED_NEWER); /* three, but not so soon again */
    ck_assert_uint_ge(worker_now_ms() - before, 1500);
    struct cred_value *three = cred_get(c);
    ck_assert_str_eq(cred_text(three), "three");
    ck_assert_int_eq(renew(c, three), CRED_SAME);
    chmod(file("pw"), 0644);
    ck_assert_int_eq(renew(c, three), CRED_FAILED);
    cred_value_unref(three);
    cred_value_unref(one);
    cred_value_unref(two);
    cred_unref(c);
    credpool_stop(pool);
    credpool_free(pool);
    worker_stop(worker);
    worker_join(worker);
    worker_free(worker);
}
END_TEST

/* Many ask at once: the command runs once. */
START_TEST(asked_by_many) {
    enum { N = 20 };
    char script[300], text[64] = "";
    struct asker a[N];
    ck_assert(worker_start(&worker, &(struct worker_conf){.stack = 1u << 20}));
    pool = credpool_new();
    snprintf(script, sizeof script, "echo run >> %s; grep -c run %s", file("count"), file("count"));
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct cred *c = cred_new(&(struct cred_conf){.name = "db", .command.argv = argv}, why, sizeof why);
    ck_assert_msg(c != NULL, "%s", why);
    struct cred_value *one = cred_get(c);
    ck_assert_str_eq(cred_text(one), "1");
    for (int i = 0; i < N; i++) {
        a[i] = (struct asker){.wait = {.msg.run = answered, .worker = worker}};
        sem_init(&a[i].done, 0, 0);
        cred_renew(pool, c, one, &a[i].wait);
    }
    for (int i = 0; i < N; i++) {
        while (sem_wait(&a[i].done) != 0) continue;
        ck_assert_int_eq(a[i].wait.news, CRED_NEWER);
    }
    struct cred_value *two = cred_get(c);
    snprintf(text, sizeof text, "%s", cred_text(two));
    ck_assert_str_eq(text, "2");
    cred_value_unref(one);
    cred_value_unref(two);
    /* the end of the pool does not wait for a command */
    const char *const slow[] = {"/bin/sh", "-c", "test -e \"$0\" && sleep 1000; touch \"$0\"; echo x", file("pid"), NULL};
    struct cred *s = cred_new(&(struct cred_conf){.name = "db", .command.argv = slow}, why, sizeof why);
    ck_assert_msg(s != NULL, "%s", why);
    one = cred_get(s);
    a[0] = (struct asker){.wait = {.msg.run = answered, .worker = worker}};
    sem_init(&a[0].done, 0, 0);
    cred_renew(pool, s, one, &a[0].wait);
    credpool_stop(pool);
    while (sem_wait(&a[0].done) != 0) continue;
    ck_assert_int_eq(a[0].wait.news, CRED_FAILED);
    ck_assert_int_eq(renew(s, one), CRED_FAILED); /* nor does anybody wait later */
    credpool_free(pool);
    cred_value_unref(one);
    cred_unref(s);
    cred_unref(c);
    worker_stop(worker);
    worker_join(worker);
    worker_free(worker);
}
END_TEST

/* Who asks when a reading is under way is not content with it: the secret may have changed since it began. */
START_TEST(asked_late) {
    char script[400];
    struct asker early = {.wait.msg.run = answered}, late = {.wait.msg.run = answered};
    ck_assert(worker_start(&worker, &(struct worker_conf){.stack = 1u << 20}));
    early.wait.worker = late.wait.worker = worker;
    pool = credpool_new();
    put("pw", "one\n", 0600);
    snprintf(script, sizeof script, "x=$(cat %s); echo run >> %s; test $(grep -c run %s) = 2 && sleep 1; echo $x", file("pw"),
             file("count"), file("count"));
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct cred *c = cred_new(&(struct cred_conf){.name = "db", .command.argv = argv}, why, sizeof why);
    ck_assert_msg(c != NULL, "%s", why);
    struct cred_value *one = cred_get(c);
    sem_init(&early.done, 0, 0);
    sem_init(&late.done, 0, 0);
    cred_renew(pool, c, one, &early.wait);
    struct stat st = {0};
    while (stat(file("count"), &st) == 0 && st.st_size < 8) usleep(1000); /* the second run has read "one" */
    put("pw", "two\n", 0600);
    cred_renew(pool, c, one, &late.wait);
    while (sem_wait(&early.done) != 0) continue;
    ck_assert_int_eq(early.wait.news, CRED_SAME);
    while (sem_wait(&late.done) != 0) continue;
    ck_assert_int_eq(late.wait.news, CRED_NEWER);
    cred_value_unref(one);
    cred_unref(c);
    credpool_stop(pool);
    credpool_free(pool);
    worker_stop(worker);
    worker_join(worker);
    worker_free(worker);
}
END_TEST

int main(void) {
    Suite *s = suite_create("cred");
    TCase *t = tcase_create("cred");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, output);
    tcase_add_test(t, surroundings);
    tcase_add_test(t, time_is_over);
    tcase_add_test(t, complaints);
    tcase_add_test(t, renewed);
    tcase_add_test(t, asked_by_many);
    tcase_add_test(t, asked_late);
    suite_add_tcase(s, t);
    return run_suite(s);
}
