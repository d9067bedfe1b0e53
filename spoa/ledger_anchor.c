#include <config.h>

#include "spoa/ledger_anchor.h"

#include "spoa/log.h"
#include "spoa/syslog_line.h"
#include "spoa/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEPT       16u /* anchors that wait */
#define RETRY_MS   5000u
#define COMMAND_MS 10000u
#define STEP_MS    20u

struct waiting {
    char *line;
    bool in_file, in_syslog, by_command; /* delivered */
};

struct anchors {
    const struct led_conf *conf;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct waiting list[KEPT]; /* oldest first; with the rest guarded by lock */
    size_t n;
    bool busy; /* list[0] is in the thread's hands */
    bool stopping;
    uint64_t stop_by;
    _Atomic uint64_t failed;
};

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- the file --- */

/* A line that a full disk cut off stays what it is, on a line of its own. */
static bool end_line(int fd) {
    char last = '\n';
    off_t end = lseek(fd, 0, SEEK_END);
    if (end > 0 && pread(fd, &last, 1, end - 1) != 1) return false;
    return last == '\n' || write(fd, "\n", 1) == 1;
}

/* Opened for each anchor, so that logrotate may move it, and a file system that was mounted over it counts. */
static bool to_file(const char *path, const char *line, char *why, size_t size) {
    size_t len = strlen(line);
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    errno = fd < 0 ? errno : 0;
    bool ok = fd >= 0 && end_line(fd) && write(fd, line, len) == (ssize_t)len && fdatasync(fd) == 0;
    if (!ok) snprintf(why, size, "%s: %s", path, errno != 0 ? strerror(errno) : "written by half");
    if (fd >= 0) close(fd);
    return ok;
}

/* --- the command --- */

static bool spawn(char *const *argv, int in, pid_t *pid) {
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    char *const env[] = {path, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, pipe_only;
    sigemptyset(&none);
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    if (posix_spawn_file_actions_init(&files) != 0) return false;
    if (posix_spawnattr_init(&attr) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return false;
    }
    int rc = posix_spawn_file_actions_adddup2(&files, in, 0);
    if (rc == 0) rc = posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (rc == 0) rc = posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    if (rc == 0) rc = posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &pipe_only);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    if (rc == 0) rc = posix_spawn(pid, argv[0], &files, &attr, argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    errno = rc;
    return rc == 0;
}

/* The line on its standard input; a pipe takes all of it before anybody reads. */
static bool to_command(const char *const *argv, const char *line, uint64_t by, char *why, size_t size) {
    int ends[2], status = 0;
    pid_t pid = -1;
    size_t len = strlen(line);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        snprintf(why, size, "%s: %s", argv[0], strerror(errno));
        return false;
    }
    bool ok = write(ends[1], line, len) == (ssize_t)len && spawn((char *const *)(uintptr_t)argv, ends[0], &pid);
    if (!ok) snprintf(why, size, "%s: %s", argv[0], strerror(errno));
    close(ends[0]);
    close(ends[1]);
    if (!ok) return false;
    pid_t ended;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && now_ms() < by)
        nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
    if (ended == 0) {
        kill(-pid, SIGKILL); /* it leads a process group of its own */
        waitpid(pid, &status, 0);
        snprintf(why, size, "%s did not end in time", argv[0]);
        return false;
    }
    if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    snprintf(why, size, "%s ended with status %d", argv[0], WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return false;
}

/* --- the thread --- */

static bool deliver(const struct anchors *a, struct waiting *w, uint64_t by, char *why, size_t size) {
    const struct led_conf *c = a->conf;
    if (c->anchor_syslog && !w->in_syslog) {
        syslog_line(w->line);
        w->in_syslog = true;
    }
    if (c->anchor_file != NULL && !w->in_file && !(w->in_file = to_file(c->anchor_file, w->line, why, size))) return false;
    return c->anchor_command == NULL || w->by_command || (w->by_command = to_command(c->anchor_command, w->line, by, why, size));
}

static void say(struct anchors *a, const char *why) {
    unsigned more = 0;
    atomic_fetch_add(&a->failed, 1);
    if (log_due("ledger.anchor", &more))
        log_event(
            LOG_ERROR, "ledger.anchor", "reason", why, "do",
            "see audit.anchors in gatehouse.yaml: until this works, a cut or rolled back record is found only up to the last anchor there",
            NULL);
}

/* Waits for work, or until a failed delivery is due again. With the lock. */
static void doze(struct anchors *a, bool failed) {
    struct timespec until;
    if (!failed && a->n > 0) return;
    if (!failed) {
        pthread_cond_wait(&a->wake, &a->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_MS / 1000;
    pthread_cond_timedwait(&a->wake, &a->lock, &until);
}

static void *run(void *arg) {
    struct anchors *a = arg;
    bool failed = false;
    pthread_mutex_lock(&a->lock);
    while (!a->stopping || (a->n > 0 && !failed && now_ms() < a->stop_by)) {
        if (!a->stopping) doze(a, failed);
        failed = false;
        if (a->n == 0) continue;
        char why[300] = "";
        struct waiting w = a->list[0];
        uint64_t by = now_ms() + COMMAND_MS;
        if (a->stopping && a->stop_by < by) by = a->stop_by;
        a->busy = true;
        pthread_mutex_unlock(&a->lock);
        failed = !deliver(a, &w, by, why, sizeof why);
        if (failed) say(a, why);
        pthread_mutex_lock(&a->lock);
        a->busy = false;
        a->list[0] = w;
        if (failed) continue;
        free(w.line);
        a->n--;
        memmove(a->list, a->list + 1, a->n * sizeof *a->list);
    }
    for (size_t i = 0; i < a->n; i++) free(a->list[i].line);
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

struct anchors *anchors_start(const struct led_conf *conf) {
    struct anchors *a = calloc(1, sizeof *a);
    if (a == NULL) return NULL;
    a->conf = conf;
    pthread_mutex_init(&a->lock, NULL);
    thread_cond_init(&a->wake);
    int rc = thread_start(&a->thread, 0, run, a);
    if (rc == 0) return a;
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->lock);
    free(a);
    return NULL;
}

void anchors_put(struct anchors *a, char *line) {
    pthread_mutex_lock(&a->lock);
    if (a->n == KEPT) { /* the oldest that nobody works on */
        size_t at = a->busy ? 1 : 0;
        free(a->list[at].line);
        a->n--;
        memmove(a->list + at, a->list + at + 1, (a->n - at) * sizeof *a->list);
    }
    a->list[a->n++] = (struct waiting){.line = line};
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
}

void anchors_stop(struct anchors *a, uint64_t timeout_ms) {
    if (a == NULL) return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    a->stop_by = now_ms() + timeout_ms;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

uint64_t anchors_failed(const struct anchors *a) { return a == NULL ? 0 : atomic_load(&a->failed); }
