/* Gatehouse's own login at a MySQL or MariaDB server, client side: mysql_native_password, caching_sha2_password (fast, full inside TLS or on a Unix socket,
 * full by RSA with a key that the configuration names), client_ed25519 (MariaDB), and mysql_clear_password where a password may be sent in clear.
 * Source: MySQL documentation, "Authentication Methods"; MariaDB documentation, "Connection, Authentication". */
#ifndef GH_FILTERS_MY_AUTH_H
#define GH_FILTERS_MY_AUTH_H

#include "filters/filter.h"
#include "filters/my_wire.h"

#define MY_AUTH_NONCE 32u /* client_ed25519's; others have 20 */

enum my_plugin { MY_PLUGIN_NONE, MY_PLUGIN_NATIVE, MY_PLUGIN_SHA2, MY_PLUGIN_ED25519, MY_PLUGIN_CLEAR };

struct my_auth {
    const char *password; /* borrowed */
    char *public_key;     /* PEM, owned; NULL: none is trusted */
    bool clear_ok;        /* nobody on the way can read */
    enum my_plugin plugin;
    uint8_t nonce[MY_AUTH_NONCE];
    size_t nonce_len;
    bool sent_all; /* caching_sha2_password: the password itself was sent */
};

/* False without memory. */
bool my_auth_begin(struct my_auth *a, const struct flt_upstream *up);
/* The server names a method and gives its nonce, in its greeting or an AuthSwitchRequest: appends the answer's payload. UNSUPPORTED: a method that we
 * do not speak, or one that is not allowed here. */
enum gh_rc my_auth_first(struct my_auth *a, const char *plugin, const uint8_t *nonce, size_t nonce_len, struct buf *payload,
                         struct gh_err *err);
/* An AuthMoreData packet, without its first byte. *answer: payload is to be sent. */
enum gh_rc my_auth_more(struct my_auth *a, struct cur data, struct buf *payload, bool *answer, struct gh_err *err);
/* "mysql_native_password", ... */
const char *my_plugin_name(enum my_plugin p);
enum my_plugin my_plugin_of(const char *name);
void my_auth_end(struct my_auth *a); /* safe twice */

/* MariaDB's client_ed25519: an Ed25519 signature of message whose secret is SHA-512 of a password of any length (RFC 8032, section 5.1.6, where it is a
 * seed of 32 bytes). Takes some milliseconds: OpenSSL signs with seeds only, so its big numbers are used. False on a failure of the library. */
bool my_ed25519_sign(const void *password, size_t password_len, const void *message, size_t message_len, uint8_t signature[64]);

#endif
