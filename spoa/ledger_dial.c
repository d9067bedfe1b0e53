#include <config.h>

#include "spoa/ledger_dial.h"

#include <stdio.h>

redisReply *led_ask(redisContext *c, int argc, const char **argv, const size_t *len) {
    void *r = NULL;
    int sent = 0;
    size_t taken = 0;
    if (redisAppendCommandArgv(c, argc, argv, len) != REDIS_OK) return NULL;
    while (sent == 0)
        if (redisBufferWrite(c, &sent) != REDIS_OK) return NULL;
    while (redisGetReplyFromReader(c, &r) == REDIS_OK && r == NULL) {
        size_t before = c->reader->len;
        if (redisBufferRead(c) != REDIS_OK) return NULL;
        taken += c->reader->len - before;
        if (taken <= LED_ANSWER_MAX) continue;
        c->err = REDIS_ERR_OOM;
        snprintf(c->errstr, sizeof c->errstr, "Redis's answer is larger than %zu MB", LED_ANSWER_MAX >> 20);
        return NULL;
    }
    return r;
}

static bool login(redisContext *c, const struct led_conf *conf, char *why, size_t size) {
    const char *argv[] = {"AUTH", conf->redis_user != NULL ? conf->redis_user : conf->redis_password, conf->redis_password};
    if (conf->redis_password == NULL) return true;
    redisReply *r = led_ask(c, conf->redis_user != NULL ? 3 : 2, argv, NULL);
    bool ok = r != NULL && r->type != REDIS_REPLY_ERROR;
    if (!ok) snprintf(why, size, "the login: %s", r != NULL ? r->str : c->errstr);
    if (r != NULL) freeReplyObject(r);
    return ok;
}

redisContext *led_dial(const struct led_conf *conf, struct led_place *moved, unsigned wait_ms, char *why, size_t size) {
    struct timeval wait = {wait_ms / 1000, (suseconds_t)(wait_ms % 1000) * 1000};
    struct led_place at = *moved;
    moved->port = 0; /* the Cluster may change */
    if (at.port == 0 && conf->redis_sentinels != NULL && !led_find_now(conf, &at, why, size)) return NULL;
    redisContext *c = at.port != 0                 ? redisConnectWithTimeout(at.addr, at.port, wait)
                      : conf->redis_socket != NULL ? redisConnectUnixWithTimeout(conf->redis_socket, wait)
                                                   : redisConnectWithTimeout(conf->redis_host, conf->redis_port, wait);
    bool ok = c != NULL && c->err == 0 && redisSetTimeout(c, wait) == REDIS_OK;
    if (!ok) snprintf(why, size, "connecting: %s", c != NULL ? c->errstr : "out of memory");
    if (ok && login(c, conf, why, size)) return c;
    if (c != NULL) redisFree(c);
    return NULL;
}
