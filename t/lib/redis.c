#include "t/lib/redis.h"
#include "t/lib/guard.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void redis_init(struct redis *r) {
    memset(r, 0, sizeof *r);
    strcpy(r->dir, "/tmp/gh-redis-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(r->dir));
    snprintf(r->sock, sizeof r->sock, "%s/s", r->dir);
}

static void serve(const struct redis *r, int port) {
    char number[16], log[96];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(number, sizeof number, "%d", port);
    snprintf(log, sizeof log, "%s/log", r->dir);
    execlp("redis-server", "redis-server", "--port", number, "--bind", "127.0.0.1", "--unixsocket", r->sock, "--save", "", "--appendonly",
           "no", "--dir", r->dir, "--daemonize", "no", "--logfile", log, (char *)NULL);
    _exit(127);
}

void redis_start(struct redis *r, int port) {
    r->pid = fork();
    ck_assert_int_ge(r->pid, 0);
    if (r->pid == 0) serve(r, port);
    for (int i = 0; i < 500; i++) {
        r->c = redisConnectUnix(r->sock);
        redisReply *p = r->c != NULL && r->c->err == 0 ? redisCommand(r->c, "PING") : NULL;
        bool up = p != NULL && p->type == REDIS_REPLY_STATUS;
        freeReplyObject(p);
        if (up) return;
        if (r->c != NULL) redisFree(r->c);
        r->c = NULL;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    ck_abort_msg("redis-server did not start; see %s/log", r->dir);
}

void redis_kill(struct redis *r) {
    if (r->c != NULL) redisFree(r->c);
    r->c = NULL;
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
    }
    r->pid = 0;
}

void redis_free(struct redis *r) {
    char cmd[100];
    redis_kill(r);
    snprintf(cmd, sizeof cmd, "rm -rf %s", r->dir);
    ck_assert_int_eq(system(cmd), 0);
}

static redisReply *run(struct redis *r, const char *fmt, va_list ap) {
    redisReply *p = redisvCommand(r->c, fmt, ap);
    ck_assert_msg(p != NULL, "%s: %s", fmt, r->c->errstr);
    ck_assert_msg(p->type != REDIS_REPLY_ERROR, "%s: %s", fmt, p->str);
    return p;
}

redisReply *redis_do(struct redis *r, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    redisReply *p = run(r, fmt, ap);
    va_end(ap);
    return p;
}

void redis_run(struct redis *r, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    freeReplyObject(run(r, fmt, ap));
    va_end(ap);
}
