/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of this process. */
#ifndef LOCKD_IO_PROCESS_H
#define LOCKD_IO_PROCESS_H

#include <raft/raft.h>

struct process {
	raft_usec cpu;     /* used so far, in user and kernel mode */
	raft_usec started; /* after the machine's start */
	uint64_t resident_bytes, virtual_bytes;
	uint64_t descriptors, descriptors_max;
};

/* What cannot be read is 0. */
void process_read(struct process *ret);

#endif
