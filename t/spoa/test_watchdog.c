/* What systemd is told: WATCHDOG=1 while all workers turn, nothing while one hangs. */
#include "spoa/watchdog.h"
#include "t/lib/guard.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int manager = -1; /* systemd's end */
static struct event_base *base;
static struct worker *workers[2];
static char path[64];

static void setup(void) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/gatehouse-watchdog.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/notify", dir);
    memcpy(un.sun_path, path, strlen(path));
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&un, sizeof un), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "30000", 1); /* asked every 10 ms */
    unsetenv("WATCHDOG_PID");
    ck_assert_ptr_nonnull(base = event_base_new());
    for (unsigned i = 0; i < 2; i++) ck_assert(worker_start(&workers[i], &(struct worker_conf){.index = i, .stack = 1u << 20}));
}

static void stop_workers(void) {
    for (unsigned i = 0; i < 2; i++) worker_stop(workers[i]);
    for (unsigned i = 0; i < 2; i++) worker_join(workers[i]);
}

static void teardown(void) {
    for (unsigned i = 0; i < 2; i++) worker_free(workers[i]);
    event_base_free(base);
    close(manager);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static unsigned heard(void) {
    unsigned n = 0;
    char text[64];
    for (ssize_t got; (got = recv(manager, text, sizeof text, 0)) > 0; n++) {
        ck_assert_int_eq(got, 10);
        ck_assert_mem_eq(text, "WATCHDOG=1", 10);
    }
    return n;
}

static void turn(unsigned ms) {
    const struct timeval wait = {0, (suseconds_t)ms * 1000};
    event_base_loopexit(base, &wait);
    event_base_dispatch(base);
}

/* Turns until the manager hears something; as long as it takes. */
static void hear_one(void) {
    do turn(20);
    while (heard() == 0);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void hang(struct worker *w, struct wmsg *m) {
    (void)w;
    (void)m;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

START_TEST(a_worker_that_hangs) {
    struct watchdog *w = watchdog_start(base, workers, 2);
    struct wmsg m = {.run = hang};
    ck_assert_ptr_nonnull(w);
    hear_one();
    pthread_mutex_lock(&gate);
    worker_post(workers[1], &m);
    turn(40); /* what was answered before it hung may still be told */
    heard();
    turn(200);
    ck_assert_uint_eq(heard(), 0);
    pthread_mutex_unlock(&gate);
    hear_one(); /* it was only slow */
    stop_workers();
    watchdog_free(w);
}
END_TEST

START_TEST(a_worker_that_ended) {
    struct watchdog *w = watchdog_start(base, workers, 2);
    hear_one();
    worker_stop(workers[0]);
    worker_join(workers[0]);
    turn(40);
    heard();
    turn(200);
    ck_assert_uint_eq(heard(), 0);
    worker_stop(workers[1]);
    worker_join(workers[1]);
    watchdog_free(w);
}
END_TEST

START_TEST(not_asked_for) {
    const char *usec[] = {"", "0", "2", "-5", "x", "30000x", "99999999999999999999"};
    for (size_t i = 0; i < sizeof usec / sizeof *usec; i++) {
        setenv("WATCHDOG_USEC", usec[i], 1);
        ck_assert_ptr_null(watchdog_start(base, workers, 2));
    }
    setenv("WATCHDOG_USEC", "30000", 1);
    setenv("WATCHDOG_PID", "1", 1); /* another process's */
    ck_assert_ptr_null(watchdog_start(base, workers, 2));
    unsetenv("WATCHDOG_USEC");
    ck_assert_ptr_null(watchdog_start(base, workers, 2));
    stop_workers();
}
END_TEST

int main(void) {
    Suite *s = suite_create("watchdog");
    TCase *t = tcase_create("watchdog");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_worker_that_hangs);
    tcase_add_test(t, a_worker_that_ended);
    tcase_add_test(t, not_asked_for);
    suite_add_tcase(s, t);
    return run_suite(s);
}
