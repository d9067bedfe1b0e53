/* HAProxy's configuration, as far as Gatehouse's lines go. */
#include <config.h>

#include "ctl/doctor_int.h"
#include "spoa/log.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WORDS     64
#define INNER_MAX 64 /* Unix sockets that are looked at */

struct section {
    char *name;
    bool gate, accepts, falls_back; /* it asks Gatehouse; has "tcp-request content accept", "default_backend", or gets them from defaults */
};
#define DEFAULTS_MAX 32

struct haproxy {
    char *chroot, *user; /* of global; NULL: none */
    char *spoe;          /* the file of "filter spoe engine gatehouse" */
    bool lua, unique_id, is_defaults;
    bool short_records;            /* of TLS: at most 8192 bytes, all that libpq takes at once */
    bool spop, spop_outside;       /* a server line leads to the socket; one names its path from outside of the chroot */
    bool payload, payload_outside; /* likewise */
    bool proxy, ticket;            /* that line has send-proxy-v2, and unique-id among its options */
    struct section at;             /* that is being read */
    struct section defaults[DEFAULTS_MAX];
    size_t ndefaults;
    char *inner[INNER_MAX]; /* sockets of frontends that end TLS: paths as HAProxy binds them */
    char *bare[INNER_MAX];  /* paths of server lines that send no PROXY header */
    size_t ninner, nbare;
};

static bool leads_to(const struct haproxy *h, const char *path, const char *socket, bool *outside) {
    char whole[4096];
    snprintf(whole, sizeof whole, "%s%s", h->chroot != NULL ? h->chroot : "", path);
    if (h->chroot != NULL && strcmp(path, socket) == 0) *outside = true;
    return strcmp(whole, socket) == 0;
}

static const char *word_after(char **w, size_t n, const char *word) {
    for (size_t i = 0; i + 1 < n; i++)
        if (strcmp(w[i], word) == 0) return w[i + 1];
    return NULL;
}

static bool has_word(char **w, size_t n, const char *word) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(w[i], word) == 0) return true;
    return false;
}

static void keep(char **at, const char *word) {
    free(*at);
    *at = strdup(word);
}

/* An agent that does not answer must not let anybody in: an SPOE error continues in HAProxy, up to the first rule that accepts. */
static void end_section(struct haproxy *h) {
    if (h->at.gate && h->at.accepts)
        problem("haproxy", "take it out: without an answer of Gatehouse it lets everybody pass; every rule must be \"reject unless\"",
                "%s has \"tcp-request content accept\", its own or its defaults'", h->at.name);
    if (h->at.gate && h->at.falls_back)
        problem("haproxy", "take it out: connections that Gatehouse has not admitted go there; use_backend must name its words",
                "%s has \"default_backend\", its own or its defaults'", h->at.name);
    if (h->is_defaults && h->ndefaults < DEFAULTS_MAX)
        h->defaults[h->ndefaults++] = h->at;
    else
        free(h->at.name);
    h->at = (struct section){0};
    h->is_defaults = false;
}

/* What a section has from the defaults that it names ("frontend f from NAME"), or else from the last ones. */
static struct section inherited(const struct haproxy *h, char **w, size_t n) {
    const char *from = word_after(w, n, "from");
    for (size_t i = h->ndefaults; i > 0; i--)
        if (from == NULL || strcmp(h->defaults[i - 1].name, from) == 0) return h->defaults[i - 1];
    return (struct section){0};
}

static void read_section(struct haproxy *h, char **w, size_t n) {
    static const char *const sections[] = {"global",   "defaults", "frontend",    "backend",  "listen",
                                           "userlist", "peers",    "resolvers",   "cache",    "program",
                                           "ring",     "mailers",  "http-errors", "fcgi-app", "log-forward"};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (strcmp(w[0], sections[i]) != 0) continue;
        end_section(h);
        h->is_defaults = strcmp(w[0], "defaults") == 0;
        if (h->is_defaults || strcmp(w[0], "frontend") == 0 || strcmp(w[0], "listen") == 0) h->at = inherited(h, w, n);
        if (h->is_defaults && word_after(w, n, "from") == NULL) h->at = (struct section){0};
        h->at.name = strdup(n > 1 ? w[1] : w[0]);
    }
    if (n < 2) return;
    bool content = n > 2 && strcmp(w[0], "tcp-request") == 0 && strcmp(w[1], "content") == 0;
    if (content && strcmp(w[2], "send-spoe-group") == 0 && has_word(w, n, "gatehouse")) h->at.gate = true;
    if (content && strcmp(w[2], "accept") == 0) h->at.accepts = true;
    if (strcmp(w[0], "default_backend") == 0) h->at.falls_back = true;
}

static void add(char **list, size_t *n, const char *word) {
    if (*n < INNER_MAX && (list[*n] = strdup(word)) != NULL) ++*n;
}

static void read_line(struct haproxy *h, const struct conf *c, char **w, size_t n) {
    if (n == 0) return;
    read_section(h, w, n);
    if (n < 2) return;
    if (strcmp(w[0], "bind") == 0 && strncmp(w[1], "unix@", 5) == 0 && has_word(w, n, "accept-proxy")) add(h->inner, &h->ninner, w[1] + 5);
    if (strcmp(w[0], "chroot") == 0) keep(&h->chroot, w[1]);
    if (strcmp(w[0], "user") == 0) keep(&h->user, w[1]);
    if (strncmp(w[0], "lua-load", 8) == 0 && strstr(w[1], "gatehouse_starttls.lua") != NULL) h->lua = access(w[1], R_OK) == 0;
    if (strcmp(w[0], "tune.ssl.hard-maxrecord") == 0) h->short_records = atoi(w[1]) > 0 && atoi(w[1]) <= 8192;
    if (strcmp(w[0], "unique-id-format") == 0 && strstr(w[1], "txn.gh.ticket") != NULL) h->unique_id = true;
    if (strcmp(w[0], "filter") == 0 && strcmp(w[1], "spoe") == 0 && has_word(w, n, "gatehouse") && word_after(w, n, "config") != NULL)
        keep(&h->spoe, word_after(w, n, "config"));
    if (strcmp(w[0], "server") != 0 || n < 3 || strncmp(w[2], "unix@", 5) != 0) return;
    bool bare = true; /* send-proxy, send-proxy-v2, send-proxy-v2-ssl, ... */
    for (size_t i = 3; i < n; i++) bare = bare && strncmp(w[i], "send-proxy", 10) != 0;
    if (bare) add(h->bare, &h->nbare, w[2] + 5);
    if (leads_to(h, w[2] + 5, c->spop.socket, &h->spop_outside)) h->spop = true;
    if (leads_to(h, w[2] + 5, c->payload.socket, &h->payload_outside)) {
        const char *options = word_after(w, n, "proxy-v2-options");
        h->payload = true;
        h->proxy = has_word(w, n, "send-proxy-v2");
        h->ticket = options != NULL && strstr(options, "unique-id") != NULL;
    }
}

static bool read_haproxy(struct haproxy *h, const struct conf *c, const char *path) {
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    if (f == NULL) {
        problem("haproxy", "name HAProxy's configuration in --haproxy", "%s: %s", path, strerror(errno));
        return false;
    }
    while (getline(&line, &size, f) > 0) {
        char *w[WORDS], *save = NULL;
        size_t n = 0;
        for (char *t = strtok_r(line, " \t\r\n", &save); t != NULL && n < WORDS && t[0] != '#'; t = strtok_r(NULL, " \t\r\n", &save))
            w[n++] = t;
        read_line(h, c, w, n);
    }
    end_section(h);
    free(line);
    fclose(f);
    return true;
}

/* A socket that is there and that nobody listens at: so a HAProxy leaves it that was started beside the running one and could not bind its ports. */
static bool is_deserted(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    bool deserted = connect(fd, (struct sockaddr *)&a, sizeof a) != 0 && errno == ECONNREFUSED;
    close(fd);
    return deserted;
}

/* From the frontend where clients come to the one that ends their TLS. */
static void look_inside(const struct haproxy *h) {
    for (size_t i = 0; i < h->ninner; i++) {
        for (size_t k = 0; k < h->nbare; k++) {
            bool outside;
            if (strcmp(h->bare[k], h->inner[i]) == 0 || leads_to(h, h->bare[k], h->inner[i], &outside))
                problem("haproxy", "write \"send-proxy-v2\" on it",
                        "the server line that leads to %s sends no PROXY header, which is waited for there", h->inner[i]);
        }
        if (is_deserted(h->inner[i]))
            problem("haproxy", "restart HAProxy (a reload does not help), and try a configuration with \"haproxy -c\" alone",
                    "nobody listens at %s: a second HAProxy was started with this file and has replaced it", h->inner[i]);
    }
}

static void look_at_server(const struct haproxy *h, const char *key, const char *socket, bool found, bool outside) {
    if (found)
        return;
    else if (outside)
        problem(
            "haproxy",
            log_fmt("take %s off the front of the path on that server line, because HAProxy connects from inside its chroot", h->chroot),
            "a server line names %s, which HAProxy looks for in %s%s", socket, h->chroot, socket);
    else
        problem("haproxy", log_fmt("append haproxy-conf/gatehouse-pg.cfg, or make %s.socket the path that its server line leads to", key),
                "no server line leads to %s%s%s", socket, h->chroot != NULL ? " from inside " : "", h->chroot != NULL ? h->chroot : "");
}

static void look_at_peers(const struct haproxy *h, const struct conf *c) {
    const struct passwd *pw = getpwnam(h->user != NULL ? h->user : "root");
    if (pw == NULL) return; /* HAProxy itself will say so */
    const struct conf_door *doors[] = {&c->spop, &c->payload};
    for (size_t i = 0; i < 2; i++) {
        bool listed = false;
        for (size_t k = 0; k < doors[i]->npeers; k++) listed = listed || doors[i]->peers[k] == pw->pw_uid;
        if (!listed)
            problem(i == 0 ? "spop" : "payload", log_fmt("add %s to peers", pw->pw_name), "HAProxy runs as %s, whom peers does not list",
                    pw->pw_name);
    }
}

static void look_at_spoe(const struct haproxy *h) {
    char text[65536];
    FILE *f = h->spoe == NULL ? NULL : fopen(h->spoe, "re");
    size_t n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
    if (f != NULL) fclose(f);
    text[n] = '\0';
    const char *session = strstr(text, "spoe-message session");
    if (session == NULL || strstr(session, "src=src ") == NULL || strstr(session, "src_port=src_port") == NULL ||
        strstr(session, "engine=str(postgresql)") == NULL)
        problem("haproxy", "copy haproxy-conf/gatehouse.spoe.cfg to /etc/haproxy and name it on the \"filter spoe\" lines",
                "%s does not send what Gatehouse must know of a session",
                h->spoe != NULL ? h->spoe : "no \"filter spoe engine gatehouse\"");
}

void doctor_haproxy(const struct conf *c, const char *path) {
    struct haproxy h = {0};
    unsigned before = doctor_problems();
    if (!read_haproxy(&h, c, path)) return;
    look_at_server(&h, "spop", c->spop.socket, h.spop, h.spop_outside);
    look_at_server(&h, "payload", c->payload.socket, h.payload, h.payload_outside);
    if (h.payload && (!h.proxy || !h.ticket))
        problem("haproxy", "write \"send-proxy-v2 proxy-v2-options unique-id,ssl\" on it",
                "the server line of the payload socket hands no ticket over");
    if (!h.unique_id)
        problem("haproxy", "write \"unique-id-format %[var(txn.gh.ticket)]\" into the frontend that ends TLS",
                "no frontend makes a ticket of the answer");
    if (!h.lua)
        problem("haproxy", "lua-load /etc/haproxy/gatehouse_starttls.lua in \"global\", and copy the file there",
                "gatehouse_starttls.lua is not loaded, or not there");
    if (!h.short_records)
        problem("haproxy", "write \"tune.ssl.hard-maxrecord 8192\" into \"global\"",
                "clients that use libpq without blocking (psycopg, ruby-pg) hang now and then on TLS records over 8 KiB");
    look_at_spoe(&h);
    look_at_peers(&h, c);
    look_inside(&h);
    if (doctor_problems() == before) ok("haproxy", "its lines for Gatehouse go with this configuration");
    for (size_t i = 0; i < h.ndefaults; i++) free(h.defaults[i].name);
    for (size_t i = 0; i < h.ninner; i++) free(h.inner[i]);
    for (size_t i = 0; i < h.nbare; i++) free(h.bare[i]);
    free(h.chroot);
    free(h.user);
    free(h.spoe);
}
