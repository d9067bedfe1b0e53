#include "config.h"

#include "ctl/doctor.h"

#include "ctl/catalog.h"
#include "policy/fit.h"
#include "spoa/advice.h"
#include "spoa/keystore.h"
#include "spoa/ledger_redis.h"
#include "spoa/preflight.h"
#include "spoa/worker.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_SECONDS 5
#define FETCH_SECONDS   15u
#define WORDS           64

static unsigned problems;

__attribute__((format(printf, 2, 3))) static void ok(const char *subject, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    printf("ok       %s: ", subject);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
}

__attribute__((format(printf, 3, 4))) static void problem(const char *subject, const char *todo, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    printf("problem  %s: ", subject);
    vprintf(fmt, ap);
    printf("\n         do: %s\n", todo);
    va_end(ap);
    problems++;
}

static void on_finding(void *arg, const struct preflight_finding *f) {
    (void)arg;
    problem(f->subject, f->todo, "%s", f->why);
}

static void look_at_machine(const struct snap *s) {
    unsigned before = problems;
    preflight(s, on_finding, NULL);
    if (geteuid() != 0) problem("doctor", "run it as root", "not everything can be seen by this user");
    if (problems == before) ok("machine", "folders, users and descriptors are as the configuration needs them");
}

/* The ledger's own way: log in, then try every right and every key. */
static void look_at_redis(const struct conf *c) {
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct lrd *r = wake < 0 ? NULL : lrd_new(&c->ledger, wake);
    enum lrd_news news = LRD_NOTHING;
    if (r != NULL) lrd_connect(r, worker_now_ms());
    while (r != NULL && news == LRD_NOTHING) {
        struct pollfd fds[2] = {{.fd = wake, .events = POLLIN}, lrd_poll(r)};
        if (poll(fds, 2, 50) < 0 && errno != EINTR) break;
        news = lrd_io(r, fds[1].revents, worker_now_ms());
    }
    if (news == LRD_UP)
        ok("redis", "it takes the login and has every right that the ledger needs");
    else
        problem("redis", advice_redis(r == NULL ? "" : lrd_error(r)), "%s", r == NULL ? strerror(errno) : lrd_error(r));
    if (r != NULL) lrd_free(r);
    if (wake >= 0) close(wake);
}

static int reach(const struct conf_addr *a) {
    struct timeval patience = {CONNECT_SECONDS, 0};
    int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    int rc = connect(fd, (const struct sockaddr *)&a->ss, a->len) == 0 ? 0 : errno == EINPROGRESS ? ETIMEDOUT : errno;
    close(fd);
    return rc;
}

static void misfit(void *arg, const struct pol_misfit *m) {
    char text[700];
    pol_misfit_words(m, text, sizeof text);
    problem(arg, "correct the rule, or the table; \"gatehousectl policy check --catalog\" finds such mistakes before a reload", "%s", text);
}

/* What a client would find out with its first statement. */
static void look_at_fit(const struct snap *s, const struct conf_database *d, struct pol_catalog *cat) {
    unsigned before = problems;
    if (!pol_policy_restricts(s->policy, d->name)) return;
    if (pol_policy_fit(s->policy, d->name, cat, false, 0, misfit, (void *)(uintptr_t)d->name) == POL_FIT_NO_MEMORY)
        problem(d->name, "try again", "out of memory");
    else if (problems == before)
        ok(d->name, "the policy's rules with columns or rows fit its relations");
}

/* As the daemon does it, and reads what the daemon reads. */
static void log_in(const struct snap *s, const struct conf_database *d) {
    char *text, why[1024];
    const char *todo;
    size_t len;
    struct pol_catalog *cat = ctl_catalog_read(s->conf, d, &text, &len, why, sizeof why, &todo);
    if (cat != NULL)
        ok(d->name, "%s takes Gatehouse's login, and shows a catalog of %zu relations", d->where, pol_catalog_relations(cat));
    else
        problem(d->name, todo, "%s: %s", d->where, why);
    if (cat != NULL) look_at_fit(s, d, cat);
    pol_catalog_unref(cat);
    free(text);
}

static void look_at_databases(const struct snap *s) {
    const struct conf *c = s->conf;
    for (size_t i = 0; i < c->ndatabases; i++) {
        const struct conf_database *d = &c->databases[i];
        int rc = ECONNREFUSED;
        for (size_t k = 0; k < d->naddrs && (k == 0 || rc != 0); k++) rc = reach(&d->addrs[k]);
        if (rc == 0)
            log_in(s, d);
        else
            problem(d->name, advice_connect(rc), "%s cannot be reached: %s", d->where, strerror(rc));
    }
}

/* Issuers whose keys are fetched: as the daemon does it. */
static void look_at_issuers(const struct snap *s) {
    const struct jwt_conf *c = &s->conf->jwt;
    struct keysource_status st;
    struct keysource **sources = calloc(c->nissuers + 1, sizeof(struct keysource *));
    struct keystore *k = sources == NULL ? NULL : keystore_start(NULL);
    for (size_t i = 0; k != NULL && i < c->nissuers; i++) sources[i] = c->issuers[i].source;
    if (k == NULL || !keystore_use(k, sources, c->nissuers)) problem("identity", "try again", "out of memory");
    uint64_t end = worker_now_ms() + FETCH_SECONDS * 1000u;
    for (size_t i = 0; k != NULL && i < c->nissuers; i++) {
        if (sources[i] == NULL) continue;
        while (keysource_status(sources[i], &st), !st.tried && worker_now_ms() < end) usleep(20000);
        if (st.keys > 0)
            ok(c->issuers[i].issuer, "%zu keys fetched", st.keys);
        else
            problem(c->issuers[i].issuer, st.todo != NULL ? st.todo : "see whether the provider answers at all", "no keys: %s",
                    st.tried ? st.why : "no answer");
    }
    keystore_stop(k);
    free(sources);
}

/* --- HAProxy's configuration, as far as Gatehouse's lines go --- */

struct haproxy {
    char *chroot, *user; /* of global; NULL: none */
    char *spoe;          /* the file of "filter spoe engine gatehouse" */
    bool lua, unique_id;
    bool short_records;            /* of TLS: at most 8192 bytes, all that libpq takes at once */
    bool spop, spop_outside;       /* a server line leads to the socket; one names its path from outside of the chroot */
    bool payload, payload_outside; /* likewise */
    bool proxy, ticket;            /* that line has send-proxy-v2, and unique-id among its options */
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

static void read_line(struct haproxy *h, const struct conf *c, char **w, size_t n) {
    if (n < 2) return;
    if (strcmp(w[0], "chroot") == 0) keep(&h->chroot, w[1]);
    if (strcmp(w[0], "user") == 0) keep(&h->user, w[1]);
    if (strncmp(w[0], "lua-load", 8) == 0 && strstr(w[1], "gatehouse_starttls.lua") != NULL) h->lua = access(w[1], R_OK) == 0;
    if (strcmp(w[0], "tune.ssl.hard-maxrecord") == 0) h->short_records = atoi(w[1]) > 0 && atoi(w[1]) <= 8192;
    if (strcmp(w[0], "unique-id-format") == 0 && strstr(w[1], "txn.gh.ticket") != NULL) h->unique_id = true;
    if (strcmp(w[0], "filter") == 0 && strcmp(w[1], "spoe") == 0 && has_word(w, n, "gatehouse") && word_after(w, n, "config") != NULL)
        keep(&h->spoe, word_after(w, n, "config"));
    if (strcmp(w[0], "server") != 0 || n < 3 || strncmp(w[2], "unix@", 5) != 0) return;
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
    free(line);
    fclose(f);
    return true;
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

static void look_at_haproxy(const struct conf *c, const char *path) {
    struct haproxy h = {0};
    unsigned before = problems;
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
    if (problems == before) ok("haproxy", "its lines for Gatehouse go with this configuration");
    free(h.chroot);
    free(h.user);
    free(h.spoe);
}

int ctl_doctor(int argc, char **argv) {
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"haproxy", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *config = NULL, *haproxy = NULL;
    struct pol_error err = {0};
    char text[1024];
    for (int opt; (opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (opt == 'c')
            config = optarg;
        else if (opt == 'p')
            haproxy = optarg;
        else {
            fputs("usage: gatehousectl doctor -c FILE [--haproxy FILE]\n", opt == 'h' ? stdout : stderr);
            return opt == 'h' ? 0 : 2;
        }
    }
    if (config == NULL || optind != argc) {
        fputs("usage: gatehousectl doctor -c FILE [--haproxy FILE]\n", stderr);
        return 2;
    }
    log_set_level(LOG_ERROR);            /* the findings say it all */
    setvbuf(stdout, NULL, _IOLBF, 4096); /* each as it is made: some take a while */
    struct snap *s = snap_load(config, NULL, &err);
    if (s == NULL) {
        pol_error_format(&err, text, sizeof text);
        problem("configuration", "correct it there", "%s", text);
        return 1;
    }
    ok("configuration", "%s and %s are valid", config, s->conf->policy);
    look_at_machine(s);
    look_at_redis(s->conf);
    look_at_issuers(s);
    look_at_databases(s);
    if (haproxy != NULL) look_at_haproxy(s->conf, haproxy);
    snap_unref(s);
    printf("%u problem%s\n", problems, problems == 1 ? "" : "s");
    return problems > 0;
}
