/* gatehouse(8): start, signals, the end. */
#include <config.h>

#include "spoa/door.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define FORCED_MS 8000u /* after the last drain step: sessions that still write their last bytes */
#define LEDGER_MS 3000u /* for the ledger to ship what it holds */

enum phase { RUNNING, DRAINING, ENDING };

struct control { /* the main thread's */
    struct daemon d;
    struct event_base *base;
    struct event *hup, *term, *intr, *tick;
    const char *path;
    enum phase phase;
    uint64_t deadline_ms;
};

static int usage(FILE *out, int rc) {
    fputs("usage: gatehouse -c FILE [-t]\n"
          "  -c FILE  run in the foreground with this configuration, see gatehouse.yaml(5)\n"
          "  -t       check the configuration and the policy, and exit\n"
          "  -V       print the version\n"
          "  -h       print this text\n",
          out);
    return rc;
}

static const char *sentence(const struct pol_error *err) {
    static char text[1024];
    pol_error_format(err, text, sizeof text);
    return text;
}

/* --- signals --- */

static void on_hup(evutil_socket_t fd, short what, void *arg) {
    struct control *c = arg;
    struct pol_error err = {0};
    char keys[256];
    (void)fd;
    (void)what;
    struct snap *next = snap_load(c->path, c->d.current, &err);
    if (next == NULL) {
        log_event(LOG_ERROR, "reload.failed", "error", sentence(&err), "kept", pol_policy_hash(c->d.current->policy), NULL);
        return;
    }
    conf_restart_keys(c->d.boot->conf, next->conf, keys, sizeof keys);
    if (keys[0] != '\0') log_event(LOG_WARN, "reload.ignored", "keys", keys, "reason", "only a restart changes these", NULL);
    log_set_level(next->conf->log_level);
    paramcache_forget(c->d.params, NULL);
    log_event(LOG_INFO, "reload", "generation", log_fmt("%llu", (unsigned long long)next->generation), "policy",
              pol_policy_hash(next->policy), NULL);
    struct led_field f[] = {{"policy", pol_policy_hash(next->policy), strlen(pol_policy_hash(next->policy))}};
    struct led_event ev = {.stream = LED_SESSIONS, .type = "reload", .fields = f, .nfields = 1};
    led_append(c->d.led, &ev, NULL, NULL);
    daemon_swap(&c->d, next);
}

static void force(struct control *c) {
    c->phase = ENDING;
    c->deadline_ms = worker_now_ms() + FORCED_MS;
    log_event(LOG_WARN, "drain.forced", "sessions", log_fmt("%zu", registry_count(c->d.registry)), NULL);
    wstate_end_sessions(&c->d, true);
}

static void on_term(evutil_socket_t signal_number, short what, void *arg) {
    struct control *c = arg;
    (void)signal_number;
    (void)what;
    if (c->phase == DRAINING)
        force(c);
    else if (c->phase == ENDING)
        event_base_loopbreak(c->base);
    if (c->phase != RUNNING) return;
    struct snap *s = daemon_snap(&c->d);
    struct timeval soon = {0, 50000};
    c->phase = DRAINING;
    c->deadline_ms = worker_now_ms() + s->conf->drain_timeout_ms;
    snap_unref(s);
    atomic_store(&c->d.draining, true);
    log_event(LOG_INFO, "drain", "sessions", log_fmt("%zu", registry_count(c->d.registry)), NULL);
    wstate_end_sessions(&c->d, false);
    event_add(c->tick, &soon);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct control *c = arg;
    (void)fd;
    (void)what;
    if (registry_count(c->d.registry) == 0)
        event_base_loopbreak(c->base);
    else if (worker_now_ms() < c->deadline_ms)
        return;
    else if (c->phase == DRAINING)
        force(c);
    else
        event_base_loopbreak(c->base);
}

/* --- start --- */

static void raise_nofile(const struct conf *c) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    uint64_t need = 2 * c->limits.sessions + 128;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur != RLIM_INFINITY && r.rlim_cur < need)
        log_event(LOG_WARN, "limits.nofile", "have", log_fmt("%llu", (unsigned long long)r.rlim_cur), "need",
                  log_fmt("%llu", (unsigned long long)need), "reason", "limits.sessions needs more descriptors: raise LimitNOFILE", NULL);
}

static bool drop_privileges(const struct conf *c, char *err, size_t size) {
    if (!c->has_user) return true;
    if (geteuid() != 0) {
        if (geteuid() == c->user) return true;
        snprintf(err, size, "cannot become user \"%s\": not started as root", c->user_name);
        return false;
    }
    if (initgroups(c->user_name, c->group) == 0 && setgid(c->group) == 0 && setuid(c->user) == 0) return true;
    snprintf(err, size, "cannot become user \"%s\": %s", c->user_name, strerror(errno));
    return false;
}

static bool start_parts(struct daemon *d, char *err, size_t size) {
    const struct conf *c = d->boot->conf;
    const struct pol_parse_limits limits = {.bytes = (uint32_t)c->limits.statement};
    d->spop_fd = door_listen(&c->spop, err, size);
    d->payload_fd = d->spop_fd < 0 ? -1 : door_listen(&c->payload, err, size);
    if (d->payload_fd < 0 || !drop_privileges(c, err, size)) return false;
    prctl(PR_SET_DUMPABLE, 0); /* after setuid(), which resets it: tokens and passwords stay out of core files */
    d->led = led_open(&c->ledger, err, size);
    if (d->led == NULL) return false;
    snprintf(err, size, "out of memory");
    d->registry = registry_new();
    d->params = paramcache_new();
    d->key = ticket_key_new();
    d->used = ticket_used_new(1u << 16);
    d->pool = parsepool_new((unsigned)c->limits.parse_threads, (size_t)c->limits.parse_queue, (size_t)c->limits.parse_queue_bytes, &limits);
    return d->registry != NULL && d->params != NULL && d->key != NULL && d->used != NULL && d->pool != NULL && wstate_start_all(d);
}

/* Workers first, because their sessions write to the ledger; then the ledger, whose answers to who is gone are dropped by the workers. */
static void stop_parts(struct daemon *d) {
    parsepool_free(d->pool);
    for (unsigned i = 0; i < d->nworkers; i++) worker_stop(d->workers[i]);
    for (unsigned i = 0; i < d->nworkers; i++) worker_join(d->workers[i]);
    if (d->led != NULL) led_close(d->led, LEDGER_MS);
    for (unsigned i = 0; i < d->nworkers; i++) worker_free(d->workers[i]);
    free(d->workers);
    if (d->spop_fd >= 0) close(d->spop_fd);
    if (d->payload_fd >= 0) close(d->payload_fd);
    registry_free(d->registry);
    paramcache_free(d->params);
    ticket_key_free(d->key);
    ticket_used_free(d->used);
    snap_unref(d->current);
    snap_unref(d->boot);
}

static bool catch_signals(struct control *c) {
    c->base = event_base_new();
    if (c->base == NULL) return false;
    c->hup = evsignal_new(c->base, SIGHUP, on_hup, c);
    c->term = evsignal_new(c->base, SIGTERM, on_term, c);
    c->intr = evsignal_new(c->base, SIGINT, on_term, c);
    c->tick = event_new(c->base, -1, EV_PERSIST, on_tick, c);
    return c->hup != NULL && c->term != NULL && c->intr != NULL && c->tick != NULL && event_add(c->hup, NULL) == 0 &&
           event_add(c->term, NULL) == 0 && event_add(c->intr, NULL) == 0;
}

static void free_signals(struct control *c) {
    struct event *events[] = {c->hup, c->term, c->intr, c->tick};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i] != NULL) event_free(events[i]);
    if (c->base != NULL) event_base_free(c->base);
}

static int run(struct control *c) {
    char err[1024] = "out of memory";
    int rc = 1;
    const struct conf *boot = c->d.boot->conf;
    log_set_level(boot->log_level);
    raise_nofile(boot);
    if (catch_signals(c) && start_parts(&c->d, err, sizeof err)) {
        log_event(LOG_INFO, "start", "version", PACKAGE_VERSION, "node", boot->node, "policy", pol_policy_hash(c->d.boot->policy),
                  "threads", log_fmt("%u", boot->threads), NULL);
        event_base_dispatch(c->base);
        rc = 0;
    } else
        log_event(LOG_ERROR, "start.failed", "error", err, NULL);
    stop_parts(&c->d);
    free_signals(c);
    if (rc == 0) log_event(LOG_INFO, "stop", NULL);
    return rc;
}

int main(int argc, char **argv) {
    static struct control c;
    struct pol_error err = {0};
    bool check = false;
    for (int opt; (opt = getopt(argc, argv, "c:tVh")) != -1;) {
        if (opt == 'c')
            c.path = optarg;
        else if (opt == 't')
            check = true;
        else if (opt == 'V')
            return printf("gatehouse %s\n", PACKAGE_VERSION) < 0;
        else
            return usage(opt == 'h' ? stdout : stderr, opt == 'h' ? 0 : 2);
    }
    if (c.path == NULL || optind != argc) return usage(stderr, 2);
    log_init(LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&c.d.lock, NULL);
    c.d.spop_fd = c.d.payload_fd = -1;
    c.d.boot = snap_load(c.path, NULL, &err);
    if (c.d.boot == NULL) {
        fprintf(stderr, "%s\n", sentence(&err));
        return 1;
    }
    if (check) {
        snap_unref(c.d.boot);
        puts("The configuration and the policy are valid.");
        return 0;
    }
    c.d.current = snap_ref(c.d.boot);
    atomic_store(&c.d.generation, c.d.current->generation);
    return run(&c);
}
