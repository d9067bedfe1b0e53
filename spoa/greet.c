#include <config.h>

#include "spoa/greet.h"

#include "filters/my_wire.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Until a session has shown the server's own, and where the configuration has none: a MySQL that every client knows. */
#define DEFAULT_VERSION "8.0.36-gatehouse"
#define UTF8MB4         45

uint8_t greet_node_bits(const char *node) {
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    unsigned n = 0;
    EVP_Digest(node, strlen(node), digest, &n, EVP_sha256(), NULL);
    return digest[0] & 0x7f; /* drivers keep the id in a signed int */
}

/* No zero bytes: clients take it for a string. */
static bool make_nonce(uint8_t nonce[MY_NONCE]) {
    if (getrandom(nonce, MY_NONCE, 0) != (ssize_t)MY_NONCE) return false;
    for (size_t i = 0; i < MY_NONCE; i++) nonce[i] = (uint8_t)(1 + nonce[i] % 127);
    return true;
}

static bool draw_id(struct wstate *ws, uint32_t *id) {
    uint32_t node = greet_node_bits(wstate_snap(ws)->conf->node);
    for (int tries = 0; tries < 64; tries++) {
        uint32_t word;
        if (getrandom(&word, sizeof word, 0) != (ssize_t)sizeof word) return false;
        *id = node << 24 | (word & 0xffffffu);
        if (*id != 0 && !registry_key_taken(ws->d->registry, *id)) return true;
    }
    return false;
}

static void choose_version(struct wstate *ws, const struct spop_message *m, char *out, size_t size) {
    char name[128] = "";
    const struct conf *conf = wstate_snap(ws)->conf;
    spop_arg_text(spop_arg(m, "database"), name, sizeof name);
    const struct conf_database *d = conf_asked(conf, CONF_MYSQL, name, "");
    for (size_t i = 0; d == NULL && i < conf->ndatabases; i++)
        if (conf->databases[i].engine == CONF_MYSQL) d = &conf->databases[i];
    struct paramset *seen = d == NULL ? NULL : paramcache_get(ws->d->params, d->name, "");
    const char *version = d != NULL && d->server_version != NULL ? d->server_version
                          : seen != NULL && seen->n > 0          ? seen->kv[0].value
                                                                 : DEFAULT_VERSION;
    /* MariaDB's own greetings before 11.0 begin so, and some drivers go by it: they take a greater number for a MySQL 8. */
    bool old = strncmp(version, "10.", 3) == 0 && strcasestr(version, "mariadb") != NULL;
    snprintf(out, size, "%s%s", old ? "5.5.5-" : "", version);
    free(seen);
}

bool greet(struct wstate *ws, const struct spop_message *m, struct greeting *g) {
    struct my_greeting says = {.caps = MY_OFFER, .status = MY_STATUS_AUTOCOMMIT, .charset = UTF8MB4, .plugin = "caching_sha2_password"};
    struct buf b = BUF_INIT(GREET_MAX);
    if (!make_nonce(says.nonce) || !draw_id(ws, &says.thread)) return false;
    choose_version(ws, m, says.version, sizeof says.version);
    snprintf(g->connection, sizeof g->connection, "%u", (unsigned)says.thread);
    my_put_greeting(&b, &says);
    g->len = buf_used(&b);
    memcpy(g->packet, buf_at(&b), g->len);
    bool ok = !b.failed;
    buf_free(&b);
    return ok;
}
