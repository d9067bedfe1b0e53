/* A secret that a command prints. */
#include <config.h>

#include "spoa/secret.h"

#include "filters/bytes.h"
#include "spoa/log.h"
#include "spoa/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define STDERR_MAX 300 /* of its words in the log */

struct child {
    int in; /* its standard input; -1: none */
    pid_t pid;
    int pidfd, out, err; /* -1: closed */
    char text[SECRET_MAX + 2];
    size_t len;
    char words[STDERR_MAX + 1];
    size_t nwords;
};

/* In the child, between fork() and execve(): only what a signal handler may call. */
static void become(const struct secret_command *c, int in, int out, int err) {
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    char *const env[] = {path, NULL};
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    int null = in >= 0 ? in : open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || close_range(3, ~0u, 0) != 0) _exit(126);
    setsid();
    sigemptyset(&none);
    sigaction(SIGPIPE, &plain, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (c->drop && (setgroups(c->ngroups, c->groups) != 0 || setgid(c->gid) != 0 || setuid(c->uid) != 0)) _exit(126);
    if (chdir("/") != 0) _exit(126);
    execve(c->argv[0], (char *const *)(uintptr_t)c->argv, env);
    _exit(127);
}

static bool start(const struct secret_command *c, struct child *ch, char *why, size_t size) {
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0) {
        snprintf(why, size, "cannot start %s: %s", c->argv[0], strerror(errno));
        return false;
    }
    if (pipe2(err, O_CLOEXEC) != 0) {
        snprintf(why, size, "cannot start %s: %s", c->argv[0], strerror(errno));
        close(out[0]);
        close(out[1]);
        return false;
    }
    ch->pid = fork();
    if (ch->pid == 0) become(c, ch->in, out[1], err[1]);
    int failed = errno;
    close(out[1]);
    close(err[1]);
    ch->out = out[0];
    ch->err = err[0];
    fcntl(ch->out, F_SETFL, O_NONBLOCK);
    fcntl(ch->err, F_SETFL, O_NONBLOCK);
    ch->pidfd = ch->pid > 0 ? pidfd_open(ch->pid, 0) : -1;
    if (ch->pidfd >= 0) return true;
    snprintf(why, size, "cannot start %s: %s", c->argv[0], strerror(ch->pid < 0 ? failed : errno));
    return false;
}

static void drop(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* What is there now, and not more than a pipe holds: who writes without end must not keep us from looking at the clock. More than there is room for is
 * read and forgotten. */
static void drain(int *fd, char *to, size_t max, size_t *len) {
    char more[1024];
    for (int i = 0; *fd >= 0 && i < 64; i++) {
        ssize_t n = *len < max ? read(*fd, to + *len, max - *len) : read(*fd, more, sizeof more);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) drop(fd);
        if (n > 0 && *len < max) *len += (size_t)n;
        if (*len == max && max == SECRET_MAX + 1) break; /* too much already */
    }
    gh_wipe(more, sizeof more);
}

/* Until it has ended. False and why: killed. */
static bool watch(const struct secret_command *c, struct child *ch, char *why, size_t size) {
    uint64_t end = worker_now_ms() + c->timeout_ms;
    for (;;) {
        uint64_t now = worker_now_ms();
        struct pollfd fds[] = {{ch->pidfd, POLLIN, 0}, {ch->out, POLLIN, 0}, {ch->err, POLLIN, 0}, {c->stop_fd, POLLIN, 0}};
        if (now >= end) {
            snprintf(why, size, "%s did not end within %u s", c->argv[0], c->timeout_ms / 1000);
            return false;
        }
        int n = poll(fds, 4, (int)(end - now));
        drain(&ch->out, ch->text, SECRET_MAX + 1, &ch->len);
        drain(&ch->err, ch->words, STDERR_MAX, &ch->nwords);
        if (ch->len > SECRET_MAX) {
            snprintf(why, size, "%s printed more than %d bytes", c->argv[0], SECRET_MAX);
            return false;
        }
        if (n > 0 && fds[3].revents != 0) {
            snprintf(why, size, "%s was not waited for: gatehouse ends", c->argv[0]);
            return false;
        }
        if (n > 0 && fds[0].revents != 0) {
            drain(&ch->out, ch->text, SECRET_MAX + 1, &ch->len);
            drain(&ch->err, ch->words, STDERR_MAX, &ch->nwords);
            return true;
        }
    }
}

/* What it complained of, for whoever set it up. It may have printed the secret there too (set -x): then nobody gets to see it. */
static void log_words(const struct secret_command *c, struct child *ch) {
    size_t len = ch->len > 0 && ch->text[ch->len - 1] == '\n' ? ch->len - 1 : ch->len;
    if (ch->nwords == 0) return;
    ch->words[ch->nwords] = '\0';
    for (size_t i = 0; i < ch->nwords; i++)
        if (ch->words[i] == '\0') ch->words[i] = ' ';
    /* cut off: the secret may begin within what was kept and end behind it */
    bool repeats = len > 0 && (memmem(ch->words, ch->nwords, ch->text, len) != NULL || ch->nwords == STDERR_MAX);
    log_event(LOG_WARN, "credential.command", "command", c->argv[0], "stderr",
              repeats ? "(kept back: it may repeat the secret)" : ch->words, NULL);
}

/* True when it ended, in time, with status 0; else why. Nothing of it is left. */
static bool run_child(const struct secret_command *c, struct child *ch, char *why, size_t size) {
    int status = 0;
    bool ended = start(c, ch, why, size) && watch(c, ch, why, size);
    if (ch->pid > 0) {
        kill(-ch->pid, SIGKILL); /* its group: also what it left behind */
        kill(ch->pid, SIGKILL);
        while (waitpid(ch->pid, &status, 0) < 0 && errno == EINTR) continue;
    }
    drop(&ch->pidfd);
    drop(&ch->out);
    drop(&ch->err);
    log_words(c, ch);
    if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (ended && WIFEXITED(status))
        snprintf(why, size, "%s %s%d", c->argv[0], WEXITSTATUS(status) == 127 ? "cannot be executed, or exited with " : "exited with ",
                 WEXITSTATUS(status));
    else if (ended)
        snprintf(why, size, "%s was ended by signal %d", c->argv[0], WTERMSIG(status));
    return false;
}

char *secret_run(const struct secret_command *c, char *why, size_t size) {
    struct child ch = {.in = -1, .pid = -1, .pidfd = -1, .out = -1, .err = -1};
    char *secret = run_child(c, &ch, why, size) ? secret_take(ch.text, ch.len, c->argv[0], why, size) : NULL;
    gh_wipe(ch.text, sizeof ch.text);
    gh_wipe(ch.words, sizeof ch.words);
    return secret;
}

bool command_tell(const struct secret_command *c, const void *input, size_t len, char *why, size_t size) {
    struct child ch = {.in = memfd_create("gatehouse", MFD_CLOEXEC), .pid = -1, .pidfd = -1, .out = -1, .err = -1};
    bool ok = ch.in >= 0 && write(ch.in, input, len) == (ssize_t)len && lseek(ch.in, 0, SEEK_SET) == 0;
    if (ok)
        ok = run_child(c, &ch, why, size);
    else
        snprintf(why, size, "no memory for the input of %s: %s", c->argv[0], strerror(errno));
    drop(&ch.in);
    return ok;
}
