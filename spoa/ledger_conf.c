#include <config.h>

#include "spoa/ledger_conf.h"

#include "filters/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool copy_str(const char **s) { return *s == NULL || (*s = strdup(*s)) != NULL; }
static void free_str(const char *s) { free((void *)(uintptr_t)s); }

/* What slot's writer adds to a name; slot 0 nothing. */
static bool slot_str(const char **s, const char *infix, unsigned slot) {
    char *out = NULL;
    if (slot == 0) return copy_str(s);
    if (asprintf(&out, "%s%s%u", *s, infix, slot) < 0) out = NULL;
    *s = out;
    return out != NULL;
}

bool led_conf_copy(struct led_conf *to, const struct led_conf *from, char *err, size_t errsize) {
    *to = *from;
    size_t n = from->node == NULL ? 0 : strlen(from->node);
    if (n < 1 || n > 64 || strspn(from->node, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != n) {
        snprintf(err, errsize, "the node's name must be 1 to 64 of A-Z a-z 0-9 _ . -");
        return false;
    }
    if ((from->redis_socket != NULL) + (from->redis_host != NULL) + (from->redis_sentinels != NULL) != 1) {
        snprintf(err, errsize, "the ledger needs either Redis's socket, its host, or Sentinels");
        return false;
    }
    const struct {
        uint64_t *v, std;
    } defaults[] = {{&to->segment_bytes, 64 << 20},
                    {&to->retain_bytes, 1 << 30},
                    {&to->max_unshipped, 4ull << 30},
                    {&to->auth_max, 10000},
                    {&to->timeout_ms, 2000}};
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (*defaults[i].v == 0) *defaults[i].v = defaults[i].std;
    if (from->slot >= LED_SLOTS) {
        snprintf(err, errsize, "there is no journal slot %u", from->slot);
        return false;
    }
    bool ok = slot_str(&to->dir, "/slot-", from->slot);
    ok = slot_str(&to->node, "/", from->slot) && ok;
    ok = copy_str(&to->redis_socket) && ok;
    ok = copy_str(&to->redis_host) && ok;
    ok = copy_str(&to->redis_user) && ok;
    ok = copy_str(&to->redis_password) && ok;
    if (!ok) snprintf(err, errsize, "out of memory");
    return ok;
}

void led_conf_drop(struct led_conf *c) {
    if (c->redis_password != NULL) gh_wipe((void *)(uintptr_t)c->redis_password, strlen(c->redis_password));
    const char *owned[] = {c->dir, c->node, c->redis_socket, c->redis_host, c->redis_user, c->redis_password};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free_str(owned[i]);
}
