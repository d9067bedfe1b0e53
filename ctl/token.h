/* gatehousectl token, jwks and keygen: keys and tokens to try Gatehouse with, where no identity provider is at hand. */
#ifndef GH_CTL_TOKEN_H
#define GH_CTL_TOKEN_H

/* argv[0] is the subcommand. Give main()'s exit status: 0, 1 when it failed, 2 when it was called wrongly. */
int ctl_token(int argc, char **argv);
int ctl_jwks(int argc, char **argv);
int ctl_keygen(int argc, char **argv);

#endif
