#include <config.h>

#include "spoa/ledger_dial.h"

#include "filters/bytes.h"

#include <stdio.h>
#include <string.h>

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

/* KEYS: the stream. ARGV: from, LED_PAGE, most. Entries one by one, so that Redis never has two large ones at hand, up to the first that is too large or to so
 * many bytes together. The 16 are what Redis's answer has around a value. */
static const char page_script[] = "local page, from, sum = {}, ARGV[1], 0\n"
                                  "for i = 1, tonumber(ARGV[2]) do\n"
                                  "  local e = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]\n"
                                  "  if not e then break end\n"
                                  "  local bytes = 0\n"
                                  "  for _, s in ipairs(e[2]) do bytes = bytes + #s + 16 end\n"
                                  "  local large = bytes > tonumber(ARGV[3])\n"
                                  "  page[i] = large and {e[1], {}} or e\n"
                                  "  from, sum = '(' .. e[1], sum + bytes\n"
                                  "  if sum > tonumber(ARGV[3]) then break end\n"
                                  "end\n"
                                  "return page\n";

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

bool led_redial(redisContext **c, const struct led_conf *conf, unsigned wait_ms, char *why, size_t size) {
    struct led_place at = {.port = 0}; /* what the configuration says */
    if ((*c)->connection_type == REDIS_CONN_TCP &&
        (conf->redis_host == NULL || (*c)->tcp.port != conf->redis_port || strcmp((*c)->tcp.host, conf->redis_host) != 0) &&
        (size_t)snprintf(at.addr, sizeof at.addr, "%s", (*c)->tcp.host) < sizeof at.addr)
        at.port = (uint16_t)(*c)->tcp.port;
    redisFree(*c);
    *c = led_dial(conf, &at, wait_ms, why, size);
    return *c != NULL;
}

/* Its answer, which may be an error. */
static redisReply *answered(const redisContext *c, redisReply *r, char *why, size_t size) {
    if (r == NULL) snprintf(why, size, "%s", c->errstr);
    return r;
}

redisReply *led_page(redisContext **c, struct led_pages *p, const char *key, const char *from, char *why, size_t size) {
    char most[GH_U64_TEXT], sha[41] = "";
    if (!p->careful) {
        redisReply *r = led_ask(*c, 6, (const char *[]){"XRANGE", key, from, "+", "COUNT", LED_PAGE}, NULL);
        if (r != NULL || (*c)->err != REDIS_ERR_OOM) return answered(*c, r, why, size);
        p->careful = true;
        if (!led_redial(c, p->conf, p->wait_ms, why, size)) return NULL;
    }
    redisReply *r = led_ask(*c, 3, (const char *[]){"SCRIPT", "LOAD", page_script}, NULL);
    if (r == NULL || r->type == REDIS_REPLY_ERROR) return answered(*c, r, why, size);
    if (r->type == REDIS_REPLY_STRING && r->len == sizeof sha - 1) memcpy(sha, r->str, sizeof sha);
    freeReplyObject(r);
    gh_u64_text(most, p->most);
    r = led_ask(*c, 7, (const char *[]){"EVALSHA", sha, "1", key, from, LED_PAGE, most}, NULL);
    return answered(*c, r, why, size);
}

const char *led_page_id(const redisReply *e, bool *large) {
    bool is = e->type == REDIS_REPLY_ARRAY && e->elements == 2 && e->element[0]->type == REDIS_REPLY_STRING &&
              e->element[1]->type == REDIS_REPLY_ARRAY;
    *large = is && e->element[1]->elements == 0;
    return is ? e->element[0]->str : NULL;
}
