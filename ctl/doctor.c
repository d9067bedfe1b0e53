#include "config.h"

#include "ctl/doctor.h"

#include "ctl/catalog.h"
#include "ctl/doctor_int.h"
#include "ctl/door.h"
#include "policy/fit.h"
#include "spoa/advice.h"
#include "spoa/journal.h"
#include "spoa/keystore.h"
#include "spoa/ledger_redis.h"
#include "spoa/preflight.h"
#include "spoa/worker.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_SECONDS 5
#define FETCH_SECONDS   15u

static unsigned problems;

unsigned doctor_problems(void) { return problems; }

void ok(const char *subject, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    printf("ok       %s: ", subject);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
}

void problem(const char *subject, const char *todo, const char *fmt, ...) {
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
    if (f->kind == PREFLIGHT_NOTE)
        printf("note     %s: %s\n         do: %s\n", f->subject, f->why, f->todo);
    else
        problem(f->subject, f->todo, "%s", f->why);
}

static void look_at_machine(const struct snap *s) {
    unsigned before = problems;
    preflight(s, on_finding, NULL);
    if (geteuid() != 0) problem("doctor", "run it as root", "not everything can be seen by this user");
    if (problems == before) ok("machine", "folders, users and descriptors are as the configuration needs them");
}

/* Whoever runs holds its journal. */
static void look_at_daemon(const struct conf *c) {
    json_t *answer = NULL;
    if (jnl_held(c->ledger.dir) != JNL_HELD)
        problem("daemon", "start it (systemctl start gatehouse), and see what its log says",
                "it does not run: nobody has the journal in %s", c->ledger.dir);
    else if (c->admin.door.socket == NULL)
        ok("daemon", "it runs");
    else if (door_ask(c->admin.door.socket, "/status", NULL, NULL, &answer) != DOOR_OK)
        problem("daemon", "see what its log says; admin.peers must list who runs this", "it runs, and does not answer at %s",
                c->admin.door.socket);
    else if (door_text(answer, "reload_error")[0] != '\0')
        problem("daemon", "correct it and reload: until then the older files are in force", "its last reload failed: %s",
                door_text(answer, "reload_error"));
    else
        ok("daemon", "it runs, and its last reload took");
    json_decref(answer);
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
    look_at_daemon(s->conf);
    look_at_redis(s->conf);
    look_at_issuers(s);
    look_at_databases(s);
    if (haproxy != NULL) doctor_haproxy(s->conf, haproxy);
    snap_unref(s);
    printf("%u problem%s\n", problems, problems == 1 ? "" : "s");
    return problems > 0;
}
