/* SPDX-License-Identifier: Apache-2.0 */
/* Space on the disk that nobody else can take: the file `reserve` in the data folder, allocated in full. It is given up
 * when the disk is full, so that what leads out of there can still be written (docs/adr/0012), and allocated anew when
 * there is space again. */
#ifndef LOCKD_IO_RESERVE_H
#define LOCKD_IO_RESERVE_H

#include "lockd/io/folder.h"

enum {
	/* That must be free beside the reserve before it is allocated anew, so that the next transaction does not give it
	 * up at once. */
	RESERVE_HEADROOM_BYTES = 1 << 20,
};

struct reserve {
	const struct folder *folder;
	char *path;     /* NULL: not open */
	int fd;         /* -1: there is no file, since it has 0 bytes or the disk had no room for a name */
	uint64_t bytes; /* that it has when it is whole */
	bool whole;
};

/* Creates the file if it is missing, and allocates it; one of 0 bytes is always whole, and has no file. 0: it is open, and
 * whole or, on a full disk, empty. Negative: it is not open. `folder` is borrowed until it is closed. */
int reserve_open(struct reserve *reserve, const struct folder *folder, uint64_t bytes, struct store_error *error);
/* Closing twice is fine, and so is closing a zeroed struct. */
void reserve_close(struct reserve *reserve);

/* Leaves the file empty. When this returns 0 others have the space. */
int reserve_give_up(struct reserve *reserve, struct store_error *error);
/* 0: it is whole. STORE_FULL: there is no space for it, and none was taken. */
int reserve_refill(struct reserve *reserve, struct store_error *error);

/* The same for a reserve that is not open. false: there was nothing to give up. */
bool reserve_give_up_unopened(const struct folder *folder);

#endif
