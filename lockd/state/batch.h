/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of an entry, decoded. */
#ifndef LOCKD_STATE_BATCH_H
#define LOCKD_STATE_BATCH_H

#include "api/command.pb-c.h"

#include <stddef.h>
#include <stdint.h>

/* Like command__batch__unpack(), in memory of `arena` and in the bytes, which must stay while the batch is used. NULL
 * also for more than LIMIT_COMMANDS_PER_ENTRY_MAX commands. Only to be given up together with the arena. */
Command__Batch *batch_unpack(ProtobufCAllocator *arena, const uint8_t *bytes, size_t n);

#endif
