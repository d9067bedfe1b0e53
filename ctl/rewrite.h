/* gatehousectl policy rewrite: what the database would get. */
#ifndef GH_CTL_REWRITE_H
#define GH_CTL_REWRITE_H

int ctl_rewrite(int argc, char **argv); /* argv[0] is "rewrite"; the exit status */

#endif
