#include "spoa/advice.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

struct advice {
    const char *sign, *todo;
};

static const char *find(const struct advice *list, const char *text, const char *otherwise) {
    for (; list->sign != NULL; list++)
        if (text != NULL && strstr(text, list->sign) != NULL) return list->todo;
    return otherwise;
}

const char *advice_redis(const char *error) {
    static const struct advice list[] = {
        {"the journal was lost", "bring the journal back, or give this daemon a new node name"},
        {"WRONGPASS", "correct redis.user and redis.password_file"},
        {"NOAUTH", "Redis wants a password: set redis.password_file, and redis.user for an ACL user"},
        {"without any password configured", "Redis has no password for its default user: remove redis.password_file, or set redis.user"},
        {"NOPERM", "give Redis's user the rights in doc/ledger.md, \"Redis access\", with this node's name"},
        {"ACL failure", "give Redis's user the rights in doc/ledger.md, \"Redis access\", with this node's name"},
        {"READONLY", "this Redis is a replica: point redis.host or redis.socket at the primary"},
        {"OOM ", "Redis is at its maxmemory: raise it, or remove old audit streams; keep maxmemory-policy noeviction"},
        {"WRONGTYPE", "another program uses this key: rename it there (redis-cli TYPE, RENAME), or give the ledger a Redis of its own"},
        {"is not a number", "another program uses this key: remove it when no daemon runs, or give the ledger a Redis of its own"},
        {"GHSHIPPED", "another daemon writes under this node's name: give each a node name of its own"},
        {"GHORDER", "somebody else wrote to this stream: rename it in Redis, and find out who it was"},
        {"MISCONF", "Redis cannot write to its disk: look at its log; service resumes by itself"},
        {"LOADING", "Redis reads its data: wait; service resumes by itself"},
        {"audit.durability is fsync", "set appendonly yes and appendfsync always in Redis, or lower audit.durability"},
        {"audit.durability wants every event", "bring Redis's replicas back (redis-cli INFO replication), or lower audit.durability"},
        {"NOREPLICAS", "Redis has too few replicas for min-replicas-to-write: bring them back"},
        {"CROSSSLOT", "in Redis Cluster our keys must be in one slot: redis.prefix needs a hash tag, as \"{gatehouse}:\""},
        {"MOVED", "in Redis Cluster our keys must be in one slot: redis.prefix needs a hash tag, as \"{gatehouse}:\""},
        {"cluster mode", "in Redis Cluster our keys must be in one slot: redis.prefix needs a hash tag, as \"{gatehouse}:\""},
        {"Sentinel", "start Sentinel, or correct redis.sentinels and redis.master"},
        {"cannot find Redis's host", "correct redis.host, or the name service of this machine"},
        {"Server closed the connection", "start Redis, or look in its log why it closed the connection"},
        {"reset by peer", "start Redis, or look in its log why it closed the connection"},
        {"Broken pipe", "start Redis, or look in its log why it closed the connection"},
        {"Connection refused", "start Redis, or correct redis.host and redis.port, or redis.socket"},
        {"No such file or directory", "start Redis, or correct redis.socket; Redis's unixsocket must be set"},
        {"Permission denied", "let gatehouse's user open Redis's socket: unixsocketperm 770 and membership in its group"},
        {"did not answer", "see whether Redis hangs (redis-cli ping, SLOWLOG GET), or raise audit.timeout"},
        {"Protocol error", "what listens there is not Redis, or wants TLS: correct redis.host and redis.port"},
        {NULL, NULL}};
    return find(list, error, "look at Redis's log; service resumes by itself");
}

const char *advice_journal(const char *error) {
    static const struct advice list[] = {
        {"No space left", "free space on the journal's file system, or lower audit.retain; service resumes by itself"},
        {"Disk quota", "raise the quota of gatehouse's user; service resumes by itself"},
        {"Read-only file system", "mount it writable; under systemd name the folder in ReadWritePaths"},
        {"Permission denied",
         "give the folder in audit.journal to gatehouse's user with mode 0700; under systemd name it in ReadWritePaths"},
        {"No such file or directory", "make the folder above audit.journal, or correct audit.journal"},
        {"Not a directory", "correct audit.journal: it must be a folder"},
        {"in use by another", "each daemon has a journal and a node name of its own"},
        {"closed to others", "the daemon's user is user: in the configuration"},
        {"cannot lock", "another gatehouse holds this journal: stop it, or give this one another audit.journal and node"},
        {"Input/output error", "the disk fails: replace it"},
        {NULL, NULL}};
    return find(list, error, "look at the folder in audit.journal: it must be gatehouse's own, with mode 0700");
}

const char *advice_database(const char *sqlstate, const char *text) {
    static const struct advice words[] = {
        {"no encryption", "pg_hba.conf asks for TLS: remove \"tls: off\" from upstream"},
        {"does not speak TLS", "set ssl = on in postgresql.conf; where nobody can be on the way to the database, upstream.tls may be off"},
        {"asked for TLS", "look at the database's log; a server, or pooler, without TLS may close in place of an answer"},
        {"request for TLS", "what listens there is not PostgreSQL, or is in trouble: look at its log, correct upstream.host and port"},
        {"plain text", "somebody on the way to the database changes what it says: find out who"},
        {"channel binding", "use scram-sha-256 in pg_hba.conf without a pooler between, or set upstream.tls.channel_binding to prefer"},
        {"outside of TLS", "something between ends the database's TLS: connect to the database itself, with upstream.tls"},
        {"iteration count", "lower scram_iterations at the database (4096 is its default) and set the role's password anew"},
        {"does not know the password", "this is not the database: find out who answers at upstream.host"},
        {"without proving", "this is not the database: find out who answers at upstream.host"},
        {"connection requires a valid client certificate", "set upstream.tls.certificate_file and key_file"},
        {"certificate authentication failed",
         "the certificate in upstream.tls.certificate_file is not for upstream.user: see pg_ident.conf"},
        {"no pg_hba.conf entry", "add a line to pg_hba.conf for upstream.user and this database from this machine, with scram-sha-256, and "
                                 "reload PostgreSQL"},
        {"pg_hba.conf rejects", "change the line of pg_hba.conf that rejects upstream.user from this machine"},
        {"clear", "the database asks for the password in the clear: use scram-sha-256 in pg_hba.conf, or upstream.tls"},
        {NULL, NULL}};
    static const struct advice states[] = {
        {"28P01", "upstream.password_file does not hold the password of upstream.user: correct it and reload"},
        {"28000", "upstream.user may not log in: correct it, or ALTER ROLE ... LOGIN"},
        {"3D000", "upstream.database does not exist on this server: correct it and reload"},
        {"42501", "GRANT CONNECT ON DATABASE to upstream.user"},
        {"53300", "raise max_connections of the database, or lower limits.sessions"},
        {"57P03", "the database starts or stops: wait"},
        {"57P01", "the database was stopped, or an administrator ended the connection: try again"},
        {NULL, NULL}};
    return find(words, text, find(states, sqlstate, "look at the database's log"));
}

const char *advice_tls(const char *error) {
    static const struct advice list[] = {
        {"hostname mismatch", "set upstream.host, or upstream.tls.server_name, to a name that the certificate has"},
        {"IP address mismatch", "set upstream.tls.server_name to a name that the certificate has, or have one made for this address"},
        {"has expired", "renew the database's certificate, and reload PostgreSQL; see whether this machine's clock is right"},
        {"not yet valid", "see whether this machine's clock is right"},
        {"self-signed certificate", "put the authority that signed the database's certificate, or a self-signed one itself, into "
                                    "upstream.tls.ca_file"},
        {"unable to get", "put the authority that signed the database's certificate into upstream.tls.ca_file"},
        {"CA md too weak", "have the database's certificate signed with SHA-256"},
        {"EE key too small", "give the database a key of at least 2048 bits (RSA) or P-256"},
        {"certificate required", "set upstream.tls.certificate_file and key_file: the database asks for them"},
        {"unknown ca", "the database does not trust upstream.tls.certificate_file: its ssl_ca_file must have the authority"},
        {"bad certificate", "the database refuses upstream.tls.certificate_file: see its log"},
        {"alert certificate", "the database refuses upstream.tls.certificate_file: see its log"},
        {"ALPN", "direct negotiation needs PostgreSQL 17 or later: set upstream.tls.negotiation to postgres"},
        {"wrong version number", "what listens there does not speak TLS: correct upstream.host and port, or set "
                                 "upstream.tls.negotiation to postgres"},
        {"unsupported protocol", "the database must offer TLS 1.2 or later (ssl_min_protocol_version, ssl_max_protocol_version)"},
        {"protocol version", "the database must offer TLS 1.2 or later (ssl_min_protocol_version, ssl_max_protocol_version)"},
        {"connection was closed", "look at the database's log; direct negotiation needs PostgreSQL 17 or later"},
        {"plain text", "somebody on the way to the database changes what it says: find out who"},
        {NULL, NULL}};
    return find(list, error, "look at the database's log, and at upstream.tls in the configuration");
}

const char *advice_connect(int error) {
    switch (error) {
    case 0: return "add the database to databases again, or tell its users that it is gone";
    case ECONNREFUSED:
        return "start the database, or correct upstream.host and upstream.port; its listen_addresses must include this address";
    case ENOENT: return "start the database, or correct upstream.socket, which is the socket's file (/run/postgresql/.s.PGSQL.5432)";
    case EACCES: return "let gatehouse's user open upstream.socket";
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH: return "see whether a firewall or the network is between, or correct upstream.host and upstream.port";
    case EMFILE:
    case ENFILE: return "raise LimitNOFILE: each session takes two descriptors";
    default: return "look at the database's log and at upstream in the configuration";
    }
}

const char *advice_socket(int error) {
    switch (error) {
    case ENOENT: return "make its folder: install -d -o gatehouse -g haproxy -m 0750 FOLDER (inside HAProxy's chroot, when it has one)";
    case EACCES: return "start gatehouse as root, or give its user the folder";
    case EPERM: return "start gatehouse as root: only root may give the socket to its owner";
    case EROFS: return "under systemd name the folder in ReadWritePaths";
    case ENOTDIR: return "correct the path: a part of it is not a folder";
    default: return "correct the path of the socket";
    }
}
