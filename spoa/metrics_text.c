/* The exposition: Prometheus' text format, version 0.0.4. */
#include "spoa/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void put(struct buf *out, const char *fmt, ...) {
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n > 0) buf_put(out, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void metrics_escape(struct buf *out, const char *value) {
    size_t len = strlen(value);
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)value[i];
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (n > len - i || !gh_utf8_valid(value + i, n)) {
            buf_u8(out, '?');
            i++;
            continue;
        }
        if (c == '\n')
            buf_str(out, "\\n");
        else {
            if (c == '\\' || c == '"') buf_u8(out, '\\');
            buf_put(out, value + i, n);
        }
        i += n;
    }
}

static void head(struct buf *out, const char *name, const char *type, const char *help) {
    put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label(struct buf *out, const char *before, const char *name, const char *value) {
    put(out, "%s%s=\"", before, name);
    metrics_escape(out, value);
    buf_u8(out, '"');
}

/* --- counters --- */

struct counter_row {
    enum m_counter counter;
    const char *name, *type, *label, *value, *help; /* a row with the name of the one before has no help */
};

static const struct counter_row counter_rows[] = {
    {M_BYTES_FROM_CLIENT, "gatehouse_bytes_total", "counter", "direction", "from_client", "Bytes read and written by sessions."},
    {M_BYTES_FROM_SERVER, "gatehouse_bytes_total", "counter", "direction", "from_server", NULL},
    {M_BYTES_TO_CLIENT, "gatehouse_bytes_total", "counter", "direction", "to_client", NULL},
    {M_BYTES_TO_SERVER, "gatehouse_bytes_total", "counter", "direction", "to_server", NULL},
    {M_LOGINS_OVER_SOURCE, "gatehouse_logins_throttled_total", "counter", "over", "source",
     "Bad logins beyond limits.login_failures, or limits.login_failures_per_name: answered later and not recorded one by one."},
    {M_LOGINS_OVER_NAME, "gatehouse_logins_throttled_total", "counter", "over", "name", NULL},
    {M_LOGINS_DISCOVERY, "gatehouse_oauth_discoveries_total", "counter", NULL, NULL,
     "Clients that asked by OAUTHBEARER where to get a token; each connects again with one."},
    {M_ROWS, "gatehouse_rows_total", "counter", NULL, NULL, "Rows that databases returned to clients."},
    {M_FACTS_HITS, "gatehouse_facts_cache_hits_total", "counter", NULL, NULL, "Statements whose facts were remembered."},
    {M_FACTS_MISSES, "gatehouse_facts_cache_misses_total", "counter", NULL, NULL, "Statements that had to be parsed."},
    {M_FACTS_EVICTIONS, "gatehouse_facts_cache_evictions_total", "counter", NULL, NULL, "Facts that made room for others."},
    {M_FACTS_ENTRIES, "gatehouse_facts_cache_entries", "gauge", NULL, NULL, "Statements remembered, all workers together."},
    {M_FACTS_BYTES, "gatehouse_facts_cache_bytes", "gauge", NULL, NULL, "Estimated bytes of them."},
    {M_PARSE_ERRORS, "gatehouse_parse_errors_total", "counter", NULL, NULL, "Statements that could not be parsed or understood."},
    {M_PARSE_POOL_JOBS, "gatehouse_parse_pool_jobs_total", "counter", NULL, NULL,
     "Statements parsed, judged or rewritten by the parse pool, because they are long or much work."},
    {M_PARSE_POOL_REFUSED, "gatehouse_parse_pool_refused_total", "counter", NULL, NULL,
     "Long statements refused because the parse pool's queue, or their principal's half of it, was full."},
    {M_CANCELS_MATCHED, "gatehouse_cancel_requests_total", "counter", "result", "matched",
     "CancelRequests, by whether their key was a session's."},
    {M_CANCELS_UNMATCHED, "gatehouse_cancel_requests_total", "counter", "result", "unmatched", NULL},
    {M_SPOP_ACCEPTED, "gatehouse_spop_connections_total", "counter", NULL, NULL, "Connections that HAProxy opened at the SPOP door."},
    {M_SPOP_ERRORS, "gatehouse_spop_errors_total", "counter", NULL, NULL,
     "SPOP connections closed for an error, and messages that could not be answered."},
    {M_BREAKGLASS, "gatehouse_breakglass_total", "counter", "what", "broken",
     "Sessions that broke the glass, and statements that ran without approval for it."},
    {M_BREAKGLASS_USED, "gatehouse_breakglass_total", "counter", "what", "used", NULL},
    {M_RELOADS_OK, "gatehouse_config_reloads_total", "counter", "result", "ok", "Reloads by SIGHUP."},
    {M_RELOADS_FAILED, "gatehouse_config_reloads_total", "counter", "result", "failed", NULL},
};

static void put_counters(struct buf *out, struct mblock *const *blocks, size_t n) {
    for (size_t i = 0; i < sizeof counter_rows / sizeof *counter_rows; i++) {
        const struct counter_row *r = &counter_rows[i];
        if (r->help != NULL) head(out, r->name, r->type, r->help);
        buf_str(out, r->name);
        if (r->label != NULL) {
            label(out, "{", r->label, r->value);
            buf_u8(out, '}');
        }
        put(out, " %" PRIu64 "\n", m_sum(blocks, n, r->counter));
    }
}

static void put_sessions(struct buf *out, struct mblock *const *blocks, size_t n) {
    static const struct {
        enum m_counter counter;
        const char *result;
    } rows[] = {{M_SESSIONS_OPENED, "opened"},
                {M_SESSIONS_LOGIN_REFUSED, "login_refused"},
                {M_SESSIONS_NOT_ADMITTED, "not_admitted"},
                {M_SESSIONS_ABANDONED, "abandoned"}};
    head(out, "gatehouse_sessions_total", "counter", "Sessions that came with a ticket, by how their beginning ended.");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        put(out, "gatehouse_sessions_total{engine=\"postgresql\",result=\"%s\"} %" PRIu64 "\n", rows[i].result,
            m_sum(blocks, n, rows[i].counter));
    uint64_t in = m_sum(blocks, n, M_SPOP_ACCEPTED), gone = m_sum(blocks, n, M_SPOP_CLOSED);
    head(out, "gatehouse_spop_connections", "gauge", "Open connections at the SPOP door.");
    put(out, "gatehouse_spop_connections %" PRIu64 "\n", in > gone ? in - gone : 0);
}

/* --- labelled families --- */

static const struct {
    const char *name, *label[M_LABELS], *help;
} families[M_FAMILIES] = {
    [M_STATEMENTS] = {"gatehouse_statements_total",
                      {"database", "verdict", "rule"},
                      "Statements judged; an Execute counts, the Parse before it only when it is refused."},
    [M_LOGINS_REFUSED] = {"gatehouse_logins_refused_total", {"reason"}, "Logins refused; the client is not told the reason."},
    [M_REFUSALS] = {"gatehouse_refusals_total", {"sqlstate"}, "Statements that Gatehouse refused, by the SQLSTATE that it answered."},
    [M_SERVER_ERRORS] = {"gatehouse_server_errors_total",
                         {"class"},
                         "Statements that ended with an error of the database, by class of SQLSTATE."},
    [M_PAYLOAD_REFUSED] = {"gatehouse_payload_refused_total", {"reason"}, "Connections at the payload door closed without a session."},
    [M_PEERS_REFUSED] = {"gatehouse_door_peers_refused_total", {"door"}, "Connections of users that the door's peers do not list."},
    [M_SPOP_MESSAGES] = {"gatehouse_spop_messages_total", {"message"}, "Messages that HAProxy sent."},
    [M_UPSTREAM_FAILED] = {"gatehouse_upstream_failures_total",
                           {"database", "reason"},
                           "Connections to a database that failed, or were lost."},
    [M_REWRITES] = {"gatehouse_rewrites_total",
                    {"database", "result"},
                    "Statements on relations of which somebody sees less than all: rewritten now, from the cache, or refused."},
    [M_CATALOG_LOOKS] = {"gatehouse_catalog_looks_total",
                         {"database", "result"},
                         "Looks at a database's catalog, by what came of it: changed, unchanged, failed."},
    [M_KEY_FETCHES] = {"gatehouse_issuer_key_fetches_total",
                       {"issuer", "result"},
                       "Attempts to fetch an issuer's keys, from jwks_url or by discovery."},
    [M_PAGE_REQUESTS] = {"gatehouse_page_requests_total",
                         {"page", "status"},
                         "Requests to the approvers' page and its API, by HTTP status."},
    [M_PAGE_SIGN_INS] = {"gatehouse_page_sign_ins_total",
                         {"outcome"},
                         "Sign-ins at the approvers' page: those that began, and how they ended."},
};

struct sample {
    const struct m_entry *entry; /* NULL: what had no room */
    uint64_t value;
};

static int by_labels(const void *a, const void *b) {
    const struct m_entry *x = ((const struct sample *)a)->entry, *y = ((const struct sample *)b)->entry;
    for (int i = 0; i < M_LABELS; i++) {
        int d = strcmp(x->label[i], y->label[i]);
        if (d != 0) return d;
    }
    return 0;
}

static void put_sample(struct buf *out, enum m_family f, const struct sample *s) {
    buf_str(out, families[f].name);
    for (int i = 0; i < M_LABELS && families[f].label[i] != NULL; i++)
        label(out, i == 0 ? "{" : ",", families[f].label[i], s->entry->label[i]);
    put(out, "} %" PRIu64 "\n", s->value);
}

static void put_family(struct buf *out, struct mblock *const *blocks, size_t n, enum m_family f) {
    struct m_entry other = {0};
    struct sample *list = calloc(n * M_FAMILY_SLOTS + 1, sizeof *list);
    size_t count = 0;
    uint64_t rest = 0;
    head(out, families[f].name, "counter", families[f].help);
    if (list == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        rest += atomic_load_explicit(&blocks[i]->other[f], memory_order_relaxed);
        for (size_t k = 0; k < M_FAMILY_SLOTS; k++) {
            struct m_entry *e = atomic_load_explicit(&blocks[i]->slot[f][k], memory_order_acquire);
            if (e != NULL) list[count++] = (struct sample){e, atomic_load_explicit(&e->value, memory_order_relaxed)};
        }
    }
    for (int i = 0; i < M_LABELS && families[f].label[i] != NULL; i++) strcpy(other.label[i], "(other)");
    if (rest > 0) list[count++] = (struct sample){&other, rest};
    if (count > 0) qsort(list, count, sizeof *list, by_labels);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && by_labels(&list[i], &list[i + 1]) == 0)
            list[i + 1].value += list[i].value;
        else
            put_sample(out, f, &list[i]);
    }
    free(list);
}

/* --- histograms --- */

static void put_histogram(struct buf *out, struct mblock *const *blocks, size_t n, enum m_histogram h) {
    static const char *const names[M_HISTOGRAMS] = {"gatehouse_gate_seconds", "gatehouse_statement_seconds"};
    static const char *const helps[M_HISTOGRAMS] = {
        "Time that a statement spends in the gate: from its arrival until it is judged, recorded and forwarded.",
        "Time that the database takes: from forwarding a statement to the end of its result."};
    uint64_t sum = 0, total = 0;
    head(out, names[h], "histogram", helps[h]);
    for (size_t i = 0; i < M_BUCKETS; i++) {
        for (size_t b = 0; b < n; b++) total += atomic_load_explicit(&blocks[b]->bucket[h][i], memory_order_relaxed);
        if (i < M_BUCKETS - 1)
            put(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", names[h], m_bucket_us[i] / 1e6, total);
        else
            put(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", names[h], total);
    }
    for (size_t b = 0; b < n; b++) sum += atomic_load_explicit(&blocks[b]->sum_us[h], memory_order_relaxed);
    put(out, "%s_sum %.6f\n%s_count %" PRIu64 "\n", names[h], (double)sum / 1e6, names[h], total);
}

/* --- the state --- */

static void put_info(struct buf *out, const struct metrics_state *s) {
    head(out, "gatehouse_build_info", "gauge", "1, with the version and the node's name.");
    buf_str(out, "gatehouse_build_info");
    label(out, "{", "version", s->version);
    label(out, ",", "node", s->node);
    buf_str(out, "} 1\n");
    head(out, "gatehouse_policy_info", "gauge", "1, with the SHA-256 of the policy in force.");
    buf_str(out, "gatehouse_policy_info");
    label(out, "{", "hash", s->policy_hash);
    buf_str(out, "} 1\n");
}

static void put_state(struct buf *out, const struct metrics_state *s) {
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"gatehouse_ready", "gauge", "1 when /healthz answers 200.", s->ready},
        {"gatehouse_draining", "gauge", "1 after SIGTERM.", s->draining},
        {"gatehouse_sessions", "gauge", "Connections at the payload door.", (double)s->sessions},
        {"gatehouse_sessions_max", "gauge", "limits.sessions.", (double)s->sessions_max},
        {"gatehouse_config_generation", "gauge", "Counts up from 1 with every reload that took.", (double)s->generation},
        {"gatehouse_policy_generation", "gauge", "The configuration's generation in which this policy came into force.",
         (double)s->policy_generation},
        {"gatehouse_config_last_reload_successful", "gauge", "0 when the last reload failed and older files are in force.", s->reload_ok},
        {"gatehouse_config_last_reload_success_timestamp_seconds", "gauge", "When the files in force were read.", s->reloaded_at},
        {"gatehouse_approvals_pending", "gauge", "Requests for approval that wait for a decision.", (double)s->approvals_pending},
        {"gatehouse_approvals_approved", "gauge", "Approved requests that were not used yet.", (double)s->approvals_approved},
        {"gatehouse_blocks", "gauge", "Principals, sessions, addresses and databases that are blocked.", (double)s->blocks},
        {"gatehouse_grants", "gauge", "Approvals for some time that count here.", (double)s->grants},
        {"gatehouse_orders_missing", "gauge", "Blocks and grants that are known to exist and never came: somebody took them away.",
         (double)s->orders_missing},
        {"gatehouse_hooks_delivered_total", "counter", "Events that a hook took.", (double)s->hooks_delivered},
        {"gatehouse_hooks_failed_total", "counter", "Events that were given up after all attempts.", (double)s->hooks_failed},
        {"gatehouse_hooks_dropped_total", "counter", "Events that found a hook's queue full.", (double)s->hooks_dropped},
        {"gatehouse_retention_events_total", "counter", "Events that retention removed from Redis.", (double)s->retention_events},
        {"gatehouse_retention_streams_total", "counter", "Streams of sessions and requests that it removed.", (double)s->retention_streams},
        {"gatehouse_parse_pool_waiting", "gauge", "Statements that wait for a thread of the parse pool.", (double)s->pool_waiting},
        {"gatehouse_parse_pool_bytes", "gauge", "Bytes of long statements, waiting or at work.", (double)s->pool_bytes},
        {"gatehouse_audit_healthy", "gauge", "0 while statements are refused because they cannot be recorded.", s->audit_healthy},
        {"gatehouse_audit_redis_up", "gauge", "0 while Redis takes no events.", s->redis_up},
        {"gatehouse_audit_events_total", "counter", "Events written to the journal since the start.", (double)s->audit_events},
        {"gatehouse_audit_unshipped_events", "gauge", "Events in the journal that Redis does not have yet.", (double)s->audit_unshipped},
        {"gatehouse_audit_unshipped_bytes", "gauge", "Their bytes in the journal.", (double)s->audit_unshipped_bytes},
        {"gatehouse_audit_lag_seconds", "gauge", "Age of the oldest event that Redis does not have yet.", s->audit_lag_seconds},
        {"gatehouse_audit_journal_bytes", "gauge", "Size of the journal's files.", (double)s->journal_bytes},
        {"process_cpu_seconds_total", "counter", "Processor time, user and system.", s->cpu_seconds},
        {"process_resident_memory_bytes", "gauge", "Resident memory.", (double)s->resident_bytes},
        {"process_virtual_memory_bytes", "gauge", "Virtual memory; the parse pool's stacks are reserved, not used.",
         (double)s->virtual_bytes},
        {"process_open_fds", "gauge", "Open file descriptors.", (double)s->open_fds},
        {"process_max_fds", "gauge", "How many there may be.", (double)s->max_fds},
        {"process_start_time_seconds", "gauge", "When the process started.", s->started_at},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        head(out, rows[i].name, rows[i].type, rows[i].help);
        put(out, "%s %.17g\n", rows[i].name, rows[i].value);
    }
    head(out, "gatehouse_audit_append_failures_total", "counter", "Events that were not recorded.");
    put(out, "gatehouse_audit_append_failures_total{result=\"unavailable\"} %" PRIu64 "\n", s->audit_refused);
    put(out, "gatehouse_audit_append_failures_total{result=\"failed\"} %" PRIu64 "\n", s->audit_failed);
    put(out, "gatehouse_audit_append_failures_total{result=\"dropped\"} %" PRIu64 "\n", s->audit_dropped);
}

static void put_catalogs(struct buf *out, const struct metrics_state *s) {
    head(out, "gatehouse_catalog_relations", "gauge", "Relations of the catalog in force; 0 before the first was read.");
    for (size_t i = 0; i < s->ncatalogs; i++) {
        label(out, "gatehouse_catalog_relations{", "database", s->catalogs[i].database);
        put(out, "} %" PRIu64 "\n", s->catalogs[i].relations);
    }
    head(out, "gatehouse_catalog_age_seconds", "gauge", "Time since the last look at the catalog that went well.");
    for (size_t i = 0; i < s->ncatalogs; i++) {
        if (!s->catalogs[i].has) continue;
        label(out, "gatehouse_catalog_age_seconds{", "database", s->catalogs[i].database);
        put(out, "} %.3f\n", s->catalogs[i].age_seconds);
    }
}

static void put_keys(struct buf *out, const struct metrics_state *s) {
    static const struct {
        const char *name, *help;
    } rows[] = {{"gatehouse_issuer_keys", "Keys at hand of an issuer whose keys are fetched."},
                {"gatehouse_issuer_keys_age_seconds", "How long ago they were fetched; without keys 0."},
                {"gatehouse_issuer_logins_waiting", "Logins that wait for them to be fetched again."}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        head(out, rows[r].name, "gauge", rows[r].help);
        for (size_t i = 0; i < s->nkeys; i++) {
            const struct metrics_keys *k = &s->keys[i];
            buf_str(out, rows[r].name);
            label(out, "{", "issuer", k->issuer);
            put(out, "} %.17g\n", r == 0 ? (double)k->keys : r == 1 ? k->age_seconds : (double)k->waiting);
        }
    }
}

void metrics_text(struct buf *out, struct mblock *const *blocks, size_t nblocks, const struct metrics_state *s) {
    put_info(out, s);
    put_sessions(out, blocks, nblocks);
    for (int f = 0; f < M_FAMILIES; f++) put_family(out, blocks, nblocks, (enum m_family)f);
    put_counters(out, blocks, nblocks);
    for (int h = 0; h < M_HISTOGRAMS; h++) put_histogram(out, blocks, nblocks, (enum m_histogram)h);
    put_state(out, s);
    put_catalogs(out, s);
    put_keys(out, s);
}
