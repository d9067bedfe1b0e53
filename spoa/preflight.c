#include <config.h>

#include "spoa/preflight.h"

#include "spoa/advice.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GROUPS_MAX 256
#define CLAIMS_MAX 32

struct flight {
    const struct snap *s;
    void (*report)(void *arg, const struct preflight_finding *f);
    void *arg;
};

static void find(const struct flight *f, enum preflight_kind kind, const char *subject, const char *why, const char *todo) {
    f->report(f->arg, &(struct preflight_finding){kind, subject, why, todo});
}

static const char *user_name(uid_t uid) {
    const struct passwd *pw = getpwuid(uid);
    return pw != NULL ? log_fmt("%s", pw->pw_name) : log_fmt("%u", (unsigned)uid); /* a copy: the next call overwrites pw */
}

/* By the mode's bits alone, as access(2) would for that user: want is of 1 (enter), 2 (write), 4 (read). */
static bool may(const struct stat *st, uid_t uid, unsigned want) {
    if (uid == 0) return true;
    if (st->st_uid == uid) return (st->st_mode >> 6 & want) == want;
    const struct passwd *pw = getpwuid(uid);
    gid_t groups[GROUPS_MAX];
    int n = GROUPS_MAX;
    if (pw != NULL && getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) >= 0)
        for (int i = 0; i < n; i++)
            if (groups[i] == st->st_gid) return (st->st_mode >> 3 & want) == want;
    return (st->st_mode & want) == want;
}

/* "/a/b/c" to "/a/b"; "." when there is no slash. */
static void folder_of(const char *path, char *out, size_t size) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(out, size, ".");
    else
        snprintf(out, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static uid_t daemon_uid(const struct conf *c) { return c->has_user ? c->user : geteuid(); }

static bool listed(const struct conf_door *d, uid_t uid) {
    for (size_t i = 0; i < d->npeers; i++)
        if (d->peers[i] == uid) return true;
    return false;
}

/* Who binds a socket that is given to nobody owns it. */
static uid_t door_owner(const struct flight *f, const struct conf_door *d) {
    return d->has_owner ? d->owner : geteuid() == 0 ? 0 : daemon_uid(f->s->conf);
}

/* The peers that cannot open the socket, and an owner, given for their sake, who is none of them. The daemon itself asks nothing at its own doors. */
static void look_at_peers(const struct flight *f, const char *key, const struct conf_door *d, const struct stat *folder, const char *path) {
    const struct stat door = {.st_uid = door_owner(f, d), .st_gid = getegid(), .st_mode = d->mode};
    for (size_t i = 0; i < d->npeers; i++) {
        const char *peer = user_name(d->peers[i]);
        if (!may(folder, d->peers[i], 1))
            find(f, PREFLIGHT_WARNING, key, log_fmt("user %s, one of its peers, cannot enter the folder %s", peer, path),
                 log_fmt("install -d -o %s -g %s -m 0750 %s", user_name(daemon_uid(f->s->conf)), peer, path));
        if (!may(&door, d->peers[i], 2))
            find(f, PREFLIGHT_WARNING, key,
                 log_fmt("user %s, one of its peers, cannot open the socket, which will be %s's with mode %04o", peer,
                         user_name(door.st_uid), (unsigned)d->mode),
                 log_fmt("set %s.owner: %s", key, peer));
    }
    if (d->has_owner && d->owner != daemon_uid(f->s->conf) && d->npeers > 0 && !listed(d, d->owner))
        find(f, PREFLIGHT_WARNING, key,
             log_fmt("its owner %s may open the socket and is then refused, because peers does not list it", user_name(d->owner)),
             log_fmt("add %s to %s.peers, or make HAProxy's user the owner", user_name(d->owner), key));
}

static void look_at_door(const struct flight *f, const char *key, const struct conf_door *d) {
    char folder[PATH_MAX];
    struct stat st;
    folder_of(d->socket, folder, sizeof folder);
    if (stat(folder, &st) != 0) {
        if (errno != EACCES || geteuid() == 0)
            find(f, PREFLIGHT_FATAL, key, log_fmt("the folder %s of its socket: %s", folder, strerror(errno)), advice_socket(errno));
        return;
    }
    look_at_peers(f, key, d, &st, folder);
    if (d->has_owner && d->owner != daemon_uid(f->s->conf) && geteuid() != 0)
        find(f, PREFLIGHT_FATAL, key, log_fmt("only root may give its socket to %s", user_name(d->owner)), advice_socket(EPERM));
    if ((d->mode & 0600) != 0600) find(f, PREFLIGHT_WARNING, key, "its mode lets not even the owner connect", "set mode to \"0600\"");
}

static void look_at_journal(const struct flight *f) {
    const struct conf *c = f->s->conf;
    const char *dir = c->ledger.dir, *owner = user_name(daemon_uid(c));
    char folder[PATH_MAX];
    struct stat st;
    if (stat(dir, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            find(f, PREFLIGHT_FATAL, "audit.journal", log_fmt("%s is not a folder", dir), advice_journal("Not a directory"));
        else if (st.st_uid != daemon_uid(c) || (st.st_mode & 077) != 0)
            find(f, PREFLIGHT_FATAL, "audit.journal", log_fmt("%s must belong to %s alone", dir, owner),
                 log_fmt("chown -R %s %s && chmod 700 %s", owner, dir, dir));
        return;
    }
    if (errno != ENOENT) return; /* not for us to see */
    folder_of(dir, folder, sizeof folder);
    if (stat(folder, &st) != 0 || !may(&st, daemon_uid(c), 3))
        find(f, PREFLIGHT_FATAL, "audit.journal", log_fmt("%s does not exist, and %s cannot make it", dir, owner),
             log_fmt("install -d -o %s -m 0700 %s", owner, dir));
}

static void look_at_policy(const struct flight *f) {
    const char *name;
    for (size_t i = 0; (name = pol_policy_database(f->s->policy, i)) != NULL; i++) {
        if (pol_policy_observes(f->s->policy, i))
            find(
                f, PREFLIGHT_NOTE, "databases",
                log_fmt(
                    "the policy has the database \"%.100s\" in mode observe: nothing is refused, hidden, masked, filtered or limited there",
                    name),
                "set mode: enforce for it when its record shows what you want");
        if (conf_database(f->s->conf, name) == NULL)
            find(f, PREFLIGHT_WARNING, "databases",
                 log_fmt("the policy lists the database \"%.100s\", which the configuration does not offer", name),
                 "add it to databases in the configuration, or correct its name in the policy");
    }
}

/* What a load of the configuration says to the daemon's user; "" when it takes. Commands were run as that user by the load before. */
static void load_as_user(const struct conf *c, char *out, size_t size) {
    struct pol_error err = {0};
    int ends[2];
    pid_t child = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
    out[0] = '\0';
    if (child == 0) {
        bool is = initgroups(c->user_name, c->group) == 0 && setgid(c->group) == 0 && setuid(c->user) == 0;
        if (is && snap_look(c->path, &err) == NULL) {
            pol_error_format(&err, out, size);
            if (write(ends[1], out, strlen(out)) < 0) _exit(1);
        }
        _exit(0);
    }
    if (child < 0) return;
    close(ends[1]);
    size_t used = 0;
    for (ssize_t n; used < size - 1 && (n = read(ends[0], out + used, size - 1 - used)) > 0;) used += (size_t)n;
    out[used] = '\0';
    close(ends[0]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
}

/* Root starts it, and whom it has become reads the files again at each reload. */
static void look_as_user(const struct flight *f) {
    const struct conf *c = f->s->conf;
    char why[1024];
    if (geteuid() != 0 || !c->has_user || c->user == 0) return;
    load_as_user(c, why, sizeof why);
    if (why[0] != '\0')
        find(f, PREFLIGHT_WARNING, "user", log_fmt("a reload would fail, because it reads the files as %s: %s", c->user_name, why),
             log_fmt("let %s read that file: chgrp it to a group of that user, and chmod 640", c->user_name));
}

/* A filter with a claim that nobody's identity has is never true: its rule shows no rows, and nothing else says why. */
struct claims {
    const struct flight *f;
    const char *names[CLAIMS_MAX]; /* that were told */
    size_t n;
};

static void look_at_claim(void *arg, const char *rule, const char *claim) {
    struct claims *all = arg;
    const struct jwt_conf *jwt = &all->f->s->conf->jwt;
    for (size_t i = 0; i < jwt->nissuers; i++)
        for (size_t k = 0; k < jwt->issuers[i].nattributes; k++)
            if (strcmp(jwt->issuers[i].attributes[k].name, claim) == 0) return;
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->names[i], claim) == 0) return;
    if (all->n == CLAIMS_MAX || (all->names[all->n] = strdup(claim)) == NULL) return;
    all->n++;
    find(all->f, PREFLIGHT_WARNING, "identity.issuers.attributes",
         log_fmt("the rule \"%.100s\" filters rows by ${claim:%.64s}, and no issuer keeps an attribute of that name: its filter is never "
                 "true, so "
                 "the rule shows no rows",
                 rule, claim),
         log_fmt("add attributes: { %.64s: %.64s } to the issuer: the name, and the token's claim that has the value", claim, claim));
}

static void look_at_claims(const struct flight *f) {
    struct claims all = {.f = f};
    pol_policy_claims(f->s->policy, look_at_claim, &all);
    while (all.n > 0) free((char *)(uintptr_t)all.names[--all.n]);
}

static void look_at_upstreams(const struct flight *f) {
    for (size_t i = 0; i < f->s->conf->ndatabases; i++) {
        const struct conf_database *d = &f->s->conf->databases[i];
        if (d->plain_tcp)
            find(f, PREFLIGHT_WARNING, log_fmt("databases.%s.upstream.tls", d->name),
                 log_fmt("off: whoever is on the way to %s can read and change statements and rows", d->where),
                 "set ssl = on at the database, name its authority in upstream.tls.ca_file, and remove \"tls: off\"");
    }
}

static void look_at_limits(const struct flight *f) {
    struct rlimit r;
    uint64_t need = 2 * f->s->conf->limits.sessions + 128;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_max != RLIM_INFINITY && r.rlim_max < need)
        find(f, PREFLIGHT_WARNING, "limits.sessions",
             log_fmt("%llu sessions need %llu file descriptors, and there may be %llu", (unsigned long long)f->s->conf->limits.sessions,
                     (unsigned long long)need, (unsigned long long)r.rlim_max),
             "raise LimitNOFILE in the unit (ulimit -n), or lower limits.sessions");
}

static void look_at_admin(const struct flight *f) {
    const struct snap *s = f->s;
    size_t asks = 0;
    if (s->conf->admin.door.socket != NULL) {
        look_at_door(f, "admin", &s->conf->admin.door);
        return;
    }
    for (size_t i = 0; i < pol_policy_rules(s->policy); i++) asks += pol_policy_rule_asks(s->policy, i);
    if (asks > 0)
        find(f, PREFLIGHT_WARNING, "admin", "the policy has rules that ask, and there is no admin door at which anybody could decide",
             "add admin: { socket: /var/lib/gatehouse/admin.sock, peers: [root, gatehouse] } to the configuration");
}

void preflight(const struct snap *s, void (*report)(void *arg, const struct preflight_finding *f), void *arg) {
    const struct flight f = {s, report, arg};
    look_at_door(&f, "spop", &s->conf->spop);
    look_at_door(&f, "payload", &s->conf->payload);
    if (s->conf->metrics.door.socket != NULL) look_at_door(&f, "metrics", &s->conf->metrics.door);
    look_at_admin(&f);
    if (s->conf->page.m.door.socket != NULL) look_at_door(&f, "page", &s->conf->page.m.door);
    look_at_journal(&f);
    look_as_user(&f);
    look_at_policy(&f);
    look_at_claims(&f);
    look_at_upstreams(&f);
    look_at_limits(&f);
}

static void to_log(void *arg, const struct preflight_finding *f) {
    (void)arg;
    if (f->kind != PREFLIGHT_FATAL) log_event(LOG_WARN, "preflight", "key", f->subject, "reason", f->why, "do", f->todo, NULL);
}

void preflight_log(const struct snap *s) { preflight(s, to_log, NULL); }

void preflight_log_policy(const struct snap *s) {
    const struct flight f = {s, to_log, NULL};
    look_at_policy(&f);
    look_at_claims(&f);
}
