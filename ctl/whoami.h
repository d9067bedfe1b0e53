/* gatehousectl whoami: who a token is to Gatehouse, or at which step it is refused and why. */
#ifndef GH_CTL_WHOAMI_H
#define GH_CTL_WHOAMI_H

/* argv[0] is "whoami". Exit status: 0 accepted, and a database is open to it; 1 it could not be found out; 2 called wrongly; 3 refused. The
 * token is never printed. */
int ctl_whoami(int argc, char **argv);

#endif
