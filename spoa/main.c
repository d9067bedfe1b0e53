/* gatehouse(8): start, signals, the end. */
#include <config.h>

#include "spoa/admin.h"
#include "spoa/approval_desk.h"
#include "spoa/courier.h"
#include "spoa/door.h"
#include "spoa/estimate.h"
#include "spoa/handover.h"
#include "spoa/ledger_slots.h"
#include "spoa/ledger_trim.h"
#include "spoa/notify.h"
#include "spoa/page.h"
#include "spoa/preflight.h"
#include "spoa/roster.h"
#include "spoa/secret.h"
#include "spoa/status.h"
#include "spoa/watchdog.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADMITS_MAX 16384u /* of a few hundred bytes, a certificate of a few thousand: HAProxy connects at once after its ACK */
#define FORCED_MS  8000u  /* after the last drain step: sessions that still write their last bytes */
#define LEDGER_MS  3000u  /* for the ledger to ship what it holds */
#define SIGNAL_MS  100u   /* between two looks for signals while it waits to start */
#define REDIS_MS   8000u  /* before an upgrade, for the ledger to be as good as the running daemon's */
#define KEYS_MS    8000u  /* likewise, for the keys of issuers */
#define GIVE_MS    5000u  /* after it, for HAProxy's connections to reach the other daemon when no session is left */

enum phase { STARTING, RUNNING, REPLACED, DRAINING, ENDING };

struct control { /* the main thread's */
    struct daemon d;
    struct event_base *base;
    struct event *hup, *term, *intr, *tick;
    struct watchdog *watchdog;
    const char *path;
    enum phase phase;
    uint64_t deadline_ms;
    bool reload_due;     /* asked for while it started */
    unsigned slot;       /* of the journal */
    bool upgrade, force; /* options */
    uint64_t replaced_ms;
};

static int usage(FILE *out, int rc) {
    fputs("usage: gatehouse -c FILE [-t | -u | -F]\n"
          "  -c FILE  run in the foreground with this configuration, see gatehouse.yaml(5)\n"
          "  -t       check the configuration and the policy, and exit\n"
          "  -u       upgrade: take over from the gatehouse that runs with this configuration's sockets, if one does\n"
          "  -F       take its sockets without asking, for when it hangs\n"
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

static void reload(void *arg) {
    struct control *c = arg;
    struct pol_error err = {0};
    char keys[256];
    handover_reload(c->d.handover); /* the sessions of replaced daemons are judged by the same policy */
    struct snap *next = snap_load(c->path, c->d.current, &err);
    if (next != NULL && !daemon_use_keys(&c->d, next)) {
        err = (struct pol_error){.text = "out of memory"};
        snap_unref(next);
        next = NULL;
    }
    if (next == NULL) {
        status_reloaded(&c->d, sentence(&err));
        log_event(LOG_ERROR, "reload.failed", "error", sentence(&err), "kept", pol_policy_hash(c->d.current->policy), NULL);
        return;
    }
    conf_restart_keys(c->d.boot->conf, next->conf, keys, sizeof keys);
    if (keys[0] != '\0') log_event(LOG_WARN, "reload.ignored", "keys", keys, "reason", "only a restart changes these", NULL);
    log_set_level(next->conf->log_level);
    paramcache_forget(c->d.params, NULL);
    struct led_field f[] = {{"policy", pol_policy_hash(next->policy), strlen(pol_policy_hash(next->policy)), NULL}};
    struct led_event ev = {.stream = LED_SESSIONS, .type = "reload", .fields = f, .nfields = 1};
    led_append(c->d.led, &ev, NULL, NULL);
    if (!hooks_use(c->d.hooks, next->conf->hooks, next->conf->nhooks))
        log_event(LOG_ERROR, "hooks", "reason", "out of memory: some of them do not run", NULL);
    daemon_swap(&c->d, next);
    catalogs_reloaded(c->d.catalogs);
    status_reloaded(&c->d, NULL);
    /* Only now is it true. Nobody but this thread replaces next. */
    log_event(LOG_INFO, "reload", "generation", log_fmt("%llu", (unsigned long long)next->generation), "policy",
              pol_policy_hash(next->policy), NULL);
    preflight_log_policy(next);
}

static void on_hup(evutil_socket_t fd, short what, void *arg) {
    struct control *c = arg;
    (void)fd;
    (void)what;
    if (c->phase == STARTING)
        c->reload_due = true;
    else if (handover_reload_newer(c->d.handover))
        log_event(LOG_INFO, "reload.passed_on", "to", "the newer gatehouse", NULL);
    else
        reload(c);
}

static void force(struct control *c) {
    c->phase = ENDING;
    c->deadline_ms = worker_now_ms() + FORCED_MS;
    log_event(LOG_WARN, "drain.forced", "sessions", log_fmt("%zu", registry_count(c->d.registry)), NULL);
    wstate_end_sessions(&c->d, true);
}

static void drain(struct control *c) {
    struct snap *s = daemon_snap(&c->d);
    c->phase = DRAINING;
    c->deadline_ms = worker_now_ms() + s->conf->drain_timeout_ms;
    snap_unref(s);
    atomic_store(&c->d.draining, true);
    log_event(LOG_INFO, "drain", "sessions", log_fmt("%zu", registry_count(c->d.registry)), NULL);
    wstate_end_sessions(&c->d, false);
}

static void tick_soon(struct control *c) { event_add(c->tick, &(struct timeval){0, 50000}); }

static void on_term(evutil_socket_t signal_number, short what, void *arg) {
    struct control *c = arg;
    (void)signal_number;
    (void)what;
    if (c->phase == STARTING)
        c->phase = ENDING;
    else if (c->phase == DRAINING)
        force(c);
    else if (c->phase == ENDING)
        event_base_loopbreak(c->base);
    else {
        notify("STOPPING=1");
        drain(c);
        tick_soon(c);
    }
}

/* A newer daemon has the doors: the sessions that are open here run on until their clients leave. */
static void on_replaced(void *arg) {
    struct control *c = arg;
    struct snap *s = daemon_snap(&c->d);
    uint64_t timeout_ms = s->conf->upgrade_timeout_ms;
    snap_unref(s);
    notify("STATUS=Replaced by a newer gatehouse; the last sessions run on.");
    status_replaced(&c->d);
    admin_replaced(&c->d);
    page_replaced(&c->d);
    led_keeper_retire(c->d.keeper);
    trim_retire(c->d.trim);
    if (c->phase != RUNNING) return; /* it was told to end while the other took over */
    c->phase = REPLACED;
    c->replaced_ms = worker_now_ms();
    c->deadline_ms = timeout_ms == 0 ? UINT64_MAX : c->replaced_ms + timeout_ms;
    tick_soon(c);
}

/* Nothing is left to do: no session, and HAProxy's connections are the other daemon's. */
static bool finished(const struct control *c, uint64_t now) {
    if (registry_count(c->d.registry) > 0 || throttle_held(c->d.throttle) > 0) return false;
    return c->phase != REPLACED || atomic_load(&c->d.spops) == 0 || now - c->replaced_ms > GIVE_MS;
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct control *c = arg;
    uint64_t now = worker_now_ms();
    (void)fd;
    (void)what;
    if (finished(c, now))
        event_base_loopbreak(c->base);
    else if (now < c->deadline_ms)
        return;
    else if (c->phase == REPLACED)
        drain(c);
    else if (c->phase == DRAINING)
        force(c);
    else
        event_base_loopbreak(c->base);
}

/* --- start --- */

static void raise_nofile(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
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

/* -u: true when there is a daemon to take over from. False and *ok false: there is one, and it does not let us. */
static bool find_running(struct control *c, bool *ok, char *err, size_t size) {
    enum handover_found found = c->upgrade && !c->force ? handover_find(c->d.handover, err, size) : HANDOVER_ALONE;
    *ok = found != HANDOVER_FAILED;
    return found == HANDOVER_FOUND;
}

static bool open_doors(struct control *c, char *err, size_t size) {
    struct daemon *d = &c->d;
    d->spop_fd = door_listen(&d->boot->conf->spop, SOCK_STREAM, c->force, err, size);
    d->payload_fd = d->spop_fd < 0 ? -1 : door_listen(&d->boot->conf->payload, SOCK_STREAM, c->force, err, size);
    return d->payload_fd >= 0;
}

/* Only an upgrade may leave the first journal to another daemon: else two that know nothing of each other would share a folder unnoticed. */
static bool open_ledger(struct control *c, char *err, size_t size) {
    struct daemon *d = &c->d;
    const struct led_conf *conf = &d->boot->conf->ledger;
    d->led = c->upgrade || c->force ? led_open_free(conf, &c->slot, err, size) : led_open(conf, err, size);
    if (d->led == NULL) return false;
    if (c->slot > 0) log_event(LOG_INFO, "ledger.slot", "slot", log_fmt("%u", c->slot), NULL);
    snprintf(err, size, "out of memory");
    d->keeper = led_keeper_start(conf, c->slot, d->led);
    if (d->keeper == NULL) return false;
    d->trim = trim_start(conf, c->slot, d->led, err, size);
    return d->trim != NULL || err[0] == '\0';
}

/* True when a signal came that ends this daemon: it must not take over only to leave. */
static bool told_to_end(struct control *c, char *err, size_t size) {
    event_base_loop(c->base, EVLOOP_NONBLOCK);
    if (c->phase == STARTING) return false;
    snprintf(err, size, "told to end by a signal");
    return true;
}

/* Tokens that the running daemon can verify, we must be able to verify. */
static bool keys_ready(struct control *c, char *err, size_t size) {
    const struct jwt_conf *jwt = &c->d.boot->conf->jwt;
    struct keysource_status st;
    uint64_t end = worker_now_ms() + KEYS_MS;
    for (size_t i = 0; i < jwt->nissuers; i++) {
        if (jwt->issuers[i].source == NULL) continue;
        while (keysource_status(jwt->issuers[i].source, &st), !st.tried && worker_now_ms() < end) {
            if (told_to_end(c, err, size)) return false;
            usleep(SIGNAL_MS * 1000u);
        }
        if (st.keys > 0) continue;
        snprintf(err, size, "the running daemon was left alone: no keys of %s: %s", jwt->issuers[i].issuer,
                 st.tried ? st.why : "the provider does not answer");
        return false;
    }
    return true;
}

/* What the running daemon can do now, we must be able to do before it stops. */
static bool ready_to_take_over(struct control *c, char *err, size_t size) {
    struct daemon *d = &c->d;
    char why[600];
    bool ok = d->boot->conf->ledger.mode != LED_STRICT;
    if (!led_room(&d->boot->conf->ledger, c->slot, err, size) || !keys_ready(c, err, size)) return false;
    for (uint64_t end = worker_now_ms() + REDIS_MS; !ok && worker_now_ms() < end;) {
        if (told_to_end(c, err, size)) return false;
        ok = led_wait(d->led, SIGNAL_MS);
    }
    if (ok) return true;
    led_why(d->led, why, sizeof why);
    snprintf(err, size, "the running daemon was left alone: the audit ledger is not ready: %s",
             why[0] != '\0' ? why : "Redis does not answer");
    return false;
}

/* The key of another node, by the configuration in force. */
static bool key_of(void *arg, const char *node, char out[NODEKEY_PUBLIC_SIZE]) {
    struct snap *s = daemon_snap(arg);
    bool found = false;
    for (size_t i = 0; i < s->conf->nnodes && !found; i++) {
        found = strcmp(s->conf->nodes[i].name, node) == 0;
        if (found) snprintf(out, NODEKEY_PUBLIC_SIZE, "%s", s->conf->nodes[i].key);
    }
    snap_unref(s);
    return found;
}

/* As soon as there are any: their key is that of the approvals. */
static void tell_hooks(void *arg, const char *event, const json_t *what) {
    struct daemon *d = arg;
    if (d->hooks != NULL) hooks_tell(d->hooks, event, what);
}

static void orders_changed(void *arg) { wstate_look_again(arg); }

static bool open_orders(struct control *c, char *err, size_t size) {
    struct daemon *d = &c->d;
    const struct conf *conf = d->boot->conf;
    d->hooks = hooks_new(conf->node, appr_key(d->approvals));
    if (d->hooks == NULL || !hooks_use(d->hooks, conf->hooks, conf->nhooks)) {
        snprintf(err, size, "out of memory");
        return false;
    }
    d->orders = ord_open(&(struct ord_conf){.dir = conf->ledger.dir,
                                            .node = conf->node,
                                            .key = appr_key(d->approvals),
                                            .led = d->led,
                                            .news = {tell_hooks, d},
                                            .changed = orders_changed,
                                            .arg = d},
                         err, size);
    if (d->orders == NULL) return false;
    appr_use_orders(d->approvals, d->orders);
    return true;
}

static bool start_courier(struct daemon *d) {
    const struct conf *conf = d->boot->conf;
    d->courier =
        courier_start(&(struct courier_conf){.orders = d->orders, .redis = &conf->ledger, .node = conf->node, .key_of = key_of, .arg = d});
    return d->courier != NULL;
}

static bool start_parts(struct control *c, char *err, size_t size) {
    struct daemon *d = &c->d;
    const struct conf *conf = d->boot->conf;
    const struct conf_limits *l = &conf->limits;
    const struct pol_parse_limits limits = {.bytes = (uint32_t)l->statement};
    bool ok;
    d->handover = handover_new(d);
    if (d->handover == NULL) return false;
    bool running = find_running(c, &ok, err, size);
    if (!ok || (!running && !open_doors(c, err, size)) || !status_open(d, running, c->force, err, size) ||
        !admin_open(d, running, c->force, err, size) || !page_open(d, running, c->force, err, size) || !drop_privileges(conf, err, size))
        return false;
    prctl(PR_SET_DUMPABLE, 0); /* after setuid(), which resets it: tokens and passwords stay out of core files */
    if (!open_ledger(c, err, size)) return false;
    d->approvals =
        appr_open(&(struct appr_conf){.dir = conf->ledger.dir, .node = conf->node, .led = d->led, .news = {tell_hooks, d}}, err, size);
    if (d->approvals == NULL) return false;
    if (!open_orders(c, err, size)) return false;
    snprintf(err, size, "out of memory");
    d->desk = desk_start(d->approvals);
    if (d->desk == NULL) return false;
    d->keys = keystore_start(status_keys_block(d));
    if (d->keys == NULL || !daemon_use_keys(d, d->boot)) return false;
    d->registry = registry_new();
    d->roster = roster_new();
    d->throttle = throttle_new();
    d->quotas = quotas_new();
    d->admits = admits_new(ADMITS_MAX);
    d->params = paramcache_new();
    d->used = ticket_used_new(1u << 16);
    d->pool = parsepool_new((unsigned)l->parse_threads, (size_t)l->parse_queue, (size_t)l->parse_queue_bytes, &limits);
    d->creds = credpool_new();
    if (d->creds == NULL || d->registry == NULL || d->roster == NULL || d->throttle == NULL || d->quotas == NULL || d->admits == NULL ||
        d->params == NULL || d->used == NULL || d->pool == NULL)
        return false;
    if (running) {
        if (!ready_to_take_over(c, err, size) || !handover_take(d->handover, err, size)) return false;
    } else if ((d->key = ticket_key_new()) == NULL || !handover_listen(d->handover, c->force, err, size))
        return false;
    snprintf(err, size, "out of memory");
    d->catalogs = catalogs_start(d);
    if (d->catalogs == NULL || (d->estimates = estimates_start(d)) == NULL || !wstate_start_all(d) || !start_courier(d) ||
        told_to_end(c, err, size) || !handover_serve(d->handover, c->base, &(struct handover_calls){on_replaced, reload, c}) ||
        (running && !handover_go(d->handover, err, size)))
        return false;
    /* From here on nobody else serves: nothing may make us give up. */
    c->phase = RUNNING;
    wstate_accept(d);
    return true;
}

/* Workers first, because their sessions write to the ledger; then the ledger, whose answers to who is gone are dropped by the workers. */
static void stop_parts(struct control *c) {
    struct daemon *d = &c->d;
    status_stop(d);
    admin_stop(d);
    keystore_stop(d->keys); /* whoever waits for keys is let go, and still has a worker */
    page_stop(d);
    parsepool_stop(d->pool);
    credpool_stop(d->creds);
    for (unsigned i = 0; i < d->nworkers; i++) worker_stop(d->workers[i]);
    for (unsigned i = 0; i < d->nworkers; i++) worker_join(d->workers[i]);
    parsepool_free(d->pool);
    watchdog_free(c->watchdog);
    desk_stop(d->desk);
    courier_stop(d->courier);
    estimates_stop(d->estimates);
    catalogs_stop(d->catalogs); /* it may still post to workers: their memory goes later */
    led_keeper_stop(d->keeper);
    trim_stop(d->trim);
    hooks_free(d->hooks);
    ord_close(d->orders);
    appr_close(d->approvals);
    if (d->led != NULL) led_close(d->led, LEDGER_MS);
    wstate_free_all(d);
    catalogs_free(d->catalogs);
    estimates_free(d->estimates);
    status_free(d);
    handover_free(d->handover);
    if (d->spop_fd >= 0) close(d->spop_fd);
    if (d->payload_fd >= 0) close(d->payload_fd);
    credpool_free(d->creds);
    registry_free(d->registry);
    roster_free(d->roster);
    throttle_free(d->throttle);
    quotas_free(d->quotas);
    admits_free(d->admits);
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
    raise_nofile();
    preflight_log(c->d.boot);
    if (catch_signals(c) && start_parts(c, err, sizeof err)) {
        if (!admin_start(&c->d))
            log_event(LOG_ERROR, "admin.start", "reason", "out of memory: nobody can decide on requests until the next start", NULL);
        if (!page_start(&c->d))
            log_event(LOG_ERROR, "page.start", "reason", "out of memory: there is no page for approvers until the next start", NULL);
        if (!status_start(&c->d, c->base))
            log_event(LOG_ERROR, "metrics.start", "reason", "out of memory: there are no metrics until the next start", NULL);
        log_event(LOG_INFO, "start", "version", PACKAGE_VERSION, "node", boot->node, "policy", pol_policy_hash(c->d.boot->policy),
                  "threads", log_fmt("%u", boot->threads), NULL);
        notify("READY=1");
        c->watchdog = watchdog_start(c->base, c->d.workers, c->d.nworkers);
        if (c->reload_due) reload(c);
        event_base_dispatch(c->base);
        rc = 0;
    } else {
        log_event(LOG_ERROR, "start.failed", "error", err, NULL);
        handover_give_up(c->d.handover, err);
    }
    stop_parts(c);
    free_signals(c);
    if (rc == 0) log_event(LOG_INFO, "stop", NULL);
    return rc;
}

/* --- gatehouse -t --- */

static void to_stderr(void *arg, const struct preflight_finding *f) {
    bool *fatal = arg;
    static const char *const words[] = {[PREFLIGHT_NOTE] = "note", [PREFLIGHT_WARNING] = "warning", [PREFLIGHT_FATAL] = "error"};
    *fatal = *fatal || f->kind == PREFLIGHT_FATAL;
    fprintf(stderr, "%s: %s: %s\n    do: %s\n", words[f->kind], f->subject, f->why, f->todo);
}

static int check_only(struct snap *s) {
    bool fatal = false;
    preflight(s, to_stderr, &fatal);
    snap_unref(s);
    puts(fatal ? "The configuration and the policy are valid, but gatehouse cannot start on this machine."
               : "The configuration and the policy are valid.");
    return fatal;
}

int main(int argc, char **argv) {
    static struct control c;
    struct pol_error err = {0};
    bool check = false;
    for (int opt; (opt = getopt(argc, argv, "c:tuFVh")) != -1;) {
        if (opt == 'c')
            c.path = optarg;
        else if (opt == 't')
            check = true;
        else if (opt == 'u')
            c.upgrade = true;
        else if (opt == 'F')
            c.force = true;
        else if (opt == 'V')
            return printf("gatehouse %s\n", PACKAGE_VERSION) < 0;
        else
            return usage(opt == 'h' ? stdout : stderr, opt == 'h' ? 0 : 2);
    }
    if (c.path == NULL || optind != argc) return usage(stderr, 2);
    log_init(LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&c.d.lock, NULL);
    c.d.spop_fd = c.d.payload_fd = c.d.admin_fd = -1;
    prctl(PR_SET_DUMPABLE, 0);
    parsepool_keep_memory();
    if (!secret_init())
        log_event(LOG_WARN, "secret.memory", "reason", "the memory for passwords cannot be locked: they may be written to the swap", "do",
                  "let gatehouse lock 2 MiB (LimitMEMLOCK in the unit, ulimit -l)", NULL);
    c.d.boot = snap_load(c.path, NULL, &err);
    if (c.d.boot == NULL) {
        fprintf(stderr, "%s\n", sentence(&err));
        return 1;
    }
    if (check) return check_only(c.d.boot);
    c.d.current = snap_ref(c.d.boot);
    atomic_store(&c.d.generation, c.d.current->generation);
    return run(&c);
}
