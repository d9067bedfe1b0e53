/* gatehousectl block, unblock, blocks, grants. */
#ifndef GH_CTL_ORDERS_H
#define GH_CTL_ORDERS_H

int ctl_block(int argc, char **argv);
int ctl_unblock(int argc, char **argv);
int ctl_blocks(int argc, char **argv);
int ctl_grants(int argc, char **argv);

#endif
