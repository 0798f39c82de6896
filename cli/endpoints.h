/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes to ask when the command line does not say. */
#ifndef CLI_ENDPOINTS_H
#define CLI_ENDPOINTS_H

#define ENDPOINTS_SYSTEM_FILE "/etc/lockd/lockctl.conf"

/* The first that gives any: LOCKD_ENDPOINTS, the user's file ($XDG_CONFIG_HOME or ~/.config, then lockd/lockctl.conf),
 * the system's file. NULL in *ret: none, the library's default holds. The caller frees it. 0, or an exit status after a
 * message: a file that exists and cannot be read or understood is an error, since the locks of another cluster would be
 * taken otherwise. */
int endpoints_find(char **ret);

/* The `endpoints` of one INI file, several lines joined by commas. 0; -ENOENT when there is no such file; otherwise an
 * exit status after a message. *ret stays untouched when the file names none. */
int endpoints_read(const char *path, char **ret);

#endif
