/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite on a medium: a VFS that does what SQLite's own does on Linux, call by call, with the files of mount.h. It becomes
 * the default one and hands paths that are not on a medium to the one before. */
#ifndef TESTS_FAULT_VFS_H
#define TESTS_FAULT_VFS_H

void vfs_register(void);
/* SQLite draws anew from the VFS what its own random numbers come from. */
void vfs_forget_chance(void);

#endif
