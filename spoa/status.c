#include <config.h>

#include "spoa/status.h"

#include "spoa/approval.h"
#include "spoa/httpd.h"
#include "spoa/ledger_trim.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WATCH_MS 1000
#define BLOCKS   4u /* of numbers, beside those of the workers */
#define STATES   64 /* of catalogs that are shown */

struct mblock *status_block(struct daemon *d) {
    return d->metrics[d->boot->conf->threads];
}

struct mblock *status_keys_block(struct daemon *d) {
    return d->metrics[d->boot->conf->threads + 1];
}

struct mblock *status_catalog_block(struct daemon *d) {
    return d->metrics[d->boot->conf->threads + 2];
}

struct mblock *status_page_block(struct daemon *d) {
    return d->metrics[d->boot->conf->threads + 3];
}

/* --- the process, as proc(5) shows it --- */

static double started_at(void) {
    FILE *f = fopen("/proc/self/stat", "re");
    char text[1024] = "";
    double since_boot = 0;
    struct timespec now, up;
    if (f == NULL) return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    char *at = strrchr(text, ')'), *save = NULL;
    if (at == NULL) return 0;
    char *word = strtok_r(at + 1, " ", &save); /* field 3, the state */
    for (int field = 3; word != NULL && field < 22; field++) word = strtok_r(NULL, " ", &save);
    if (word != NULL) since_boot = strtod(word, NULL) / (double)sysconf(_SC_CLK_TCK);
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    return (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) / 1e9 + since_boot;
}

static uint64_t open_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    uint64_t n = 0;
    if (dir == NULL) return 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) n += e->d_name[0] != '.';
    closedir(dir);
    return n > 0 ? n - 1 : 0; /* the folder's own */
}

static void look_at_process(struct metrics_state *s) {
    struct rusage use;
    struct rlimit files;
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long pages = 0, resident = 0;
    if (f != NULL) {
        if (fscanf(f, "%lu %lu", &pages, &resident) != 2) pages = resident = 0;
        fclose(f);
    }
    s->virtual_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    s->resident_bytes = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
    if (getrusage(RUSAGE_SELF, &use) == 0)
        s->cpu_seconds = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) s->max_fds = files.rlim_cur;
    s->open_fds = open_fds();
    static double start; /* once: the two clocks are read at different moments, and the number must not change */
    if (start == 0) start = started_at();
    s->started_at = start;
}

/* --- /metrics --- */

bool status_reload_error(struct daemon *d, char *out, size_t size) {
    pthread_mutex_lock(&d->lock);
    snprintf(out, size, "%s", d->reload_error);
    pthread_mutex_unlock(&d->lock);
    return out[0] != '\0';
}

/* Of the issuers whose keys are fetched; *n of them, the caller frees. */
static struct metrics_keys *look_at_keys(const struct snap *snap, size_t *n) {
    const struct jwt_conf *c = &snap->conf->jwt;
    struct metrics_keys *list = calloc(c->nissuers + 1, sizeof *list);
    struct keysource_status st;
    *n = 0;
    for (size_t i = 0; list != NULL && i < c->nissuers; i++) {
        if (c->issuers[i].source == NULL) continue;
        keysource_status(c->issuers[i].source, &st);
        list[(*n)++] = (struct metrics_keys){c->issuers[i].issuer, st.keys, st.waiting, st.age_seconds};
    }
    return list;
}

/* There are issuers, and none has keys: nobody can log in with a token. */
static bool keyless(const struct snap *snap) {
    const struct jwt_conf *c = &snap->conf->jwt;
    struct keysource_status st;
    for (size_t i = 0; i < c->nissuers; i++) {
        if (c->issuers[i].source == NULL) return false;
        keysource_status(c->issuers[i].source, &st);
        if (st.keys > 0) return false;
    }
    return c->nissuers > 0;
}

static void page_metrics(struct daemon *d, struct httpd_answer *a) {
    char error[1024];
    struct led_stats led;
    struct timespec now;
    size_t waiting, bytes;
    struct snap *snap = daemon_snap(d);
    struct appr_counts asked;
    led_stats(d->led, &led);
    struct ord_counts orders;
    struct hooks_stats hooks;
    struct trim_stats trimmed;
    appr_count(d->approvals, &asked);
    ord_count(d->orders, &orders);
    hooks_stats(d->hooks, &hooks);
    trim_stats(d->trim, &trimmed);
    parsepool_load(d->pool, &waiting, &bytes);
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
    struct metrics_state s = {.version = PACKAGE_VERSION,
                              .node = d->boot->conf->node,
                              .policy_hash = pol_policy_hash(snap->policy),
                              .generation = snap->generation,
                              .policy_generation = snap->policy_generation,
                              .reloaded_at = (double)snap->read_at,
                              .reload_ok = !status_reload_error(d, error, sizeof error),
                              .draining = atomic_load(&d->draining),
                              .sessions = registry_count(d->registry),
                              .sessions_max = snap->conf->limits.sessions,
                              .approvals_pending = asked.pending,
                              .approvals_approved = asked.approved,
                              .blocks = orders.blocks,
                              .grants = orders.grants,
                              .orders_missing = orders.missing,
                              .hooks_delivered = hooks.delivered,
                              .hooks_failed = hooks.failed,
                              .hooks_dropped = hooks.dropped,
                              .retention_events = trimmed.events,
                              .retention_streams = trimmed.streams,
                              .pool_waiting = waiting,
                              .pool_bytes = bytes,
                              .audit_unshipped = led.unshipped,
                              .audit_unshipped_bytes = led.unshipped_bytes,
                              .journal_bytes = led.journal_bytes,
                              .audit_lag_seconds =
                                  led.oldest_ms != 0 && now_ms > led.oldest_ms ? (double)(now_ms - led.oldest_ms) / 1e3 : 0,
                              .audit_events = led.events,
                              .audit_refused = led.refused,
                              .audit_failed = led.failed,
                              .audit_dropped = led.dropped,
                              .audit_healthy = led_healthy(d->led),
                              .redis_up = led.redis_up};
    struct catalog_state catalogs[STATES];
    s.ncatalogs = catalogs_state(d->catalogs, catalogs, STATES);
    s.catalogs = catalogs;
    struct metrics_keys *keys = look_at_keys(snap, &s.nkeys);
    s.keys = keys;
    s.ready = s.audit_healthy && !s.draining && !keyless(snap);
    look_at_process(&s);
    a->status = 200;
    a->type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_text(&a->body, d->metrics, d->nmetrics, &s);
    free(keys);
    snap_unref(snap);
}

/* --- /healthz --- */

static void add(json_t *list, const char *check, const char *why, const char *todo) {
    json_t *o = json_pack("{s:s, s:s, s:s}", "check", check, "why", why, "do", todo);
    if (o == NULL) o = json_pack("{s:s, s:s}", "check", check, "do", todo); /* the reason was no UTF-8 */
    json_array_append_new(list, o);
}

static void look_at_catalogs(struct daemon *d, json_t *warnings) {
    struct catalog_state list[STATES];
    size_t n = catalogs_state(d->catalogs, list, STATES);
    for (size_t i = 0; i < n; i++)
        if (list[i].failing)
            add(warnings, "catalog",
                log_fmt("%s: %s%s", list[i].database, list[i].why,
                        list[i].has ? "; the one read before is in force"
                                    : "; what its restrictions are about is refused until it is read"),
                list[i].todo);
}

static void misfit(void *arg, const char *database, size_t n, const char *first) {
    char why[1024];
    snprintf(why, sizeof why, "%s: %s%s", database, first, n > 1 ? log_fmt(" (and %zu more)", n - 1) : "");
    add(arg, "policy", why, "correct the rule, or the table, and reload; the log has each as policy.misfit");
}

/* A warning for each issuer that has none, or whose last fetch failed; a failure when none has any. */
static void check_keys(const struct snap *snap, json_t *failed, json_t *warnings) {
    const struct jwt_conf *c = &snap->conf->jwt;
    json_t *where = keyless(snap) ? failed : warnings;
    struct keysource_status st;
    for (size_t i = 0; i < c->nissuers; i++) {
        if (c->issuers[i].source == NULL) continue;
        keysource_status(c->issuers[i].source, &st);
        if (st.keys == 0)
            add(where, "keys", log_fmt("no keys of %s: %s", c->issuers[i].issuer, st.tried ? st.why : "they are being fetched"),
                st.todo != NULL ? st.todo : "wait a moment");
        else if (st.failing)
            add(warnings, "keys", log_fmt("keys of %s are %.0f s old: %s", c->issuers[i].issuer, st.age_seconds, st.why), st.todo);
    }
}

static void page_health(struct daemon *d, struct httpd_answer *a) {
    json_t *root = json_object(), *failed = json_array(), *warnings = json_array();
    struct snap *snap = daemon_snap(d);
    char why[1024];
    if (atomic_load(&d->draining))
        add(failed, "draining", "gatehouse is shutting down", "send new sessions elsewhere, or wait for its restart");
    if (!led_healthy(d->led)) {
        led_why(d->led, why, sizeof why);
        add(failed, "ledger", why, led_todo(d->led));
    }
    if (status_reload_error(d, why, sizeof why))
        add(warnings, "reload", why, "correct it and reload: until then the older files are in force");
    if (atomic_load(&d->spop_silent))
        add(warnings, "haproxy", "HAProxy does not connect to the SPOP door", "see the log line spop.silent, and haproxy-conf/README.md");
    look_at_catalogs(d, warnings);
    catalogs_misfits(d->catalogs, misfit, warnings);
    check_keys(snap, failed, warnings);
    bool ready = json_array_size(failed) == 0;
    json_object_set_new(root, "status", json_string(ready ? "ready" : "not ready"));
    json_object_set_new(root, "node", json_string(d->boot->conf->node));
    json_object_set_new(root, "version", json_string(PACKAGE_VERSION));
    json_object_set_new(root, "policy", json_string(pol_policy_hash(snap->policy)));
    json_object_set_new(root, "failed", failed);
    json_object_set_new(root, "warnings", warnings);
    snap_unref(snap);
    httpd_answer_json(a, ready ? 200 : 503, root);
}

static bool is(const struct httpd_request *r, const char *path) {
    return r->path_len == strlen(path) && memcmp(r->path, path, r->path_len) == 0;
}

static void page(void *arg, const struct httpd_request *r, struct httpd_answer *a) {
    if (is(r, "/metrics"))
        page_metrics(arg, a);
    else if (is(r, "/healthz"))
        page_health(arg, a);
    else
        buf_str(&a->body, "There are /metrics and /healthz.\n");
}

/* --- is HAProxy there --- */

struct watch {
    struct event *ev;
    uint64_t accepted, since_ms; /* the count at the last change, and when that was */
};

static void complain(const struct conf *c) {
    log_event(LOG_WARN, "spop.silent", "socket", c->spop.socket, "reason",
              log_fmt("no connection from HAProxy for %llu s", (unsigned long long)c->spop_silence_ms / 1000u), "do",
              "see that HAProxy runs with gatehouse-pg.cfg, and which path its log shows for gh_agent: \"server ... unix@PATH\" is "
              "resolved inside "
              "HAProxy's chroot, so with \"chroot /var/lib/haproxy\" the PATH of /var/lib/haproxy/gatehouse/spop.sock is "
              "/gatehouse/spop.sock; HAProxy's user must be able to enter the socket's folder (namei -l) and be named in spop.owner and "
              "spop.peers",
              NULL);
}

static void on_watch(evutil_socket_t fd, short what, void *arg) {
    struct daemon *d = arg;
    struct watch *w = d->watch;
    const struct conf *c = d->boot->conf;
    uint64_t now = worker_now_ms(), accepted = m_sum(d->metrics, d->nmetrics, M_SPOP_ACCEPTED);
    bool there = accepted != w->accepted || accepted > m_sum(d->metrics, d->nmetrics, M_SPOP_CLOSED);
    (void)fd;
    (void)what;
    if (there) {
        w->accepted = accepted;
        w->since_ms = now;
        if (atomic_exchange(&d->spop_silent, false)) log_event(LOG_INFO, "spop.heard", "socket", c->spop.socket, NULL);
    } else if (!atomic_load(&d->spop_silent) && !atomic_load(&d->draining) && now - w->since_ms >= c->spop_silence_ms) {
        atomic_store(&d->spop_silent, true);
        complain(c);
    }
}

static bool watch_start(struct daemon *d, struct event_base *base) {
    struct timeval tick = {WATCH_MS / 1000, 0};
    if (d->boot->conf->spop_silence_ms == 0) return true;
    d->watch = calloc(1, sizeof *d->watch);
    if (d->watch == NULL) return false;
    d->watch->since_ms = worker_now_ms();
    d->watch->ev = event_new(base, -1, EV_PERSIST, on_watch, d);
    return d->watch->ev != NULL && event_add(d->watch->ev, &tick) == 0;
}

/* --- life --- */

bool status_open(struct daemon *d, bool inherit, bool force, char *err, size_t size) {
    const struct conf *c = d->boot->conf;
    bool retry = false;
    snprintf(err, size, "out of memory");
    d->metrics_fd = -1;
    d->metrics = calloc(c->threads + BLOCKS, sizeof(struct mblock *));
    if (d->metrics == NULL) return false;
    for (; d->nmetrics < c->threads + BLOCKS; d->nmetrics++)
        if ((d->metrics[d->nmetrics] = mblock_new()) == NULL) return false;
    if (c->metrics.where == NULL) return true;
    d->metrics_fd = httpd_listen(&c->metrics, force, &retry, err, size);
    return d->metrics_fd >= 0 || (retry && (inherit || c->metrics.door.socket == NULL));
}

bool status_start(struct daemon *d, struct event_base *base) {
    const struct conf_metrics *m = &d->boot->conf->metrics;
    if (!watch_start(d, base)) return false;
    if (m->where == NULL) return true;
    if (d->metrics_fd < 0)
        log_event(LOG_WARN, "metrics.port_taken", "address", m->where, "reason", "another process listens there", "do",
                  "choose another address in metrics; this one is tried again until it is free, and nothing else waits for it", NULL);
    d->httpd = httpd_start(&(struct httpd_conf){.name = "metrics", .m = m, .page = page, .arg = d}, d->metrics_fd);
    d->metrics_fd = -1;
    return d->httpd != NULL;
}

static void watch_stop(struct daemon *d) {
    if (d->watch != NULL && d->watch->ev != NULL) event_free(d->watch->ev);
    free(d->watch);
    d->watch = NULL;
}

void status_replaced(struct daemon *d) {
    httpd_retire(d->httpd);
    watch_stop(d); /* HAProxy is the newer one's too */
}

void status_stop(struct daemon *d) {
    httpd_stop(d->httpd);
    d->httpd = NULL;
    watch_stop(d);
}

void status_free(struct daemon *d) {
    if (d->metrics == NULL) return;
    if (d->metrics_fd >= 0) close(d->metrics_fd);
    for (size_t i = 0; i < d->nmetrics; i++) mblock_free(d->metrics[i]);
    free(d->metrics);
    d->metrics = NULL;
}

void status_reloaded(struct daemon *d, const char *error) {
    m_add(status_block(d), error == NULL ? M_RELOADS_OK : M_RELOADS_FAILED, 1);
    pthread_mutex_lock(&d->lock);
    snprintf(d->reload_error, sizeof d->reload_error, "%s", error == NULL ? "" : error);
    pthread_mutex_unlock(&d->lock);
}
