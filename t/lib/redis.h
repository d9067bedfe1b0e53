/* A Redis server of a test's own: in its folder, on a Unix socket, dead at the latest when the test process is. */
#ifndef GH_T_REDIS_H
#define GH_T_REDIS_H

#include <hiredis/hiredis.h>
#include <sys/types.h>

struct redis {
    char dir[64], sock[96];
    pid_t pid;
    redisContext *c; /* the test's own connection */
};

/* A folder, no server yet. */
void redis_init(struct redis *r);
/* Starts the server (it loads dump.rdb when that is there) and connects. port 0: the socket only. */
void redis_start(struct redis *r, int port);
void redis_kill(struct redis *r); /* SIGKILL */
void redis_free(struct redis *r);
/* A command that must not fail; free with freeReplyObject(). */
redisReply *redis_do(struct redis *r, const char *fmt, ...);
/* The same, for who does not want the reply. */
void redis_run(struct redis *r, const char *fmt, ...);

#endif
