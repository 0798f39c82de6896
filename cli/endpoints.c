/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/endpoints.h"
#include "cli/report.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
	const char *path;
	FILE *stream;
	unsigned line;
	char *endpoints;
	bool failed; /* reported; only the first failure is */
};

static void fail(struct file *file, const char *text, const char *detail) {
	if (!file->failed)
		report("%s:%u: %s%s", file->path, file->line, text, detail);
	file->failed = true;
}

/* inih's own reader splits a line longer than its buffer into two and counts both. */
static char *read_line(char *line, int n, void *user) {
	struct file *file = user;

	if (file->failed || !fgets(line, n, file->stream))
		return NULL;
	file->line++;
	if (!strchr(line, '\n') && !feof(file->stream)) {
		fail(file, "the line is too long; endpoints may stand in several lines", "");
		return NULL;
	}
	return line;
}

static int take_key(void *user, const char *section, const char *key, const char *value) {
	struct file *file = user;
	char *joined;

	if (*section || strcmp(key, "endpoints")) {
		fail(file, "unknown key, allowed is endpoints: ", key);
		return 0;
	}
	if (!*value) {
		fail(file, "endpoints is empty", "");
		return 0;
	}
	if (asprintf(&joined, "%s%s%s", file->endpoints ? file->endpoints : "", file->endpoints ? "," : "", value) <
	    0) {
		fail(file, strerror(ENOMEM), "");
		return 0;
	}
	free(file->endpoints);
	file->endpoints = joined;
	return 1;
}

int endpoints_read(const char *path, char **ret) {
	struct file file = {.path = path};
	int r;

	file.stream = fopen(path, "re");
	if (!file.stream && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	if (!file.stream) {
		report("%s: %s", path, strerror(errno));
		return EXIT_USAGE;
	}

	r = ini_parse_stream(read_line, &file, take_key, &file);
	if (r)
		fail(&file, "not a line of the form KEY = VALUE", "");
	else if (ferror(file.stream))
		fail(&file, strerror(errno), "");
	(void)fclose(file.stream);
	if (file.failed) {
		free(file.endpoints);
		return EXIT_USAGE;
	}
	if (file.endpoints)
		*ret = file.endpoints;
	return 0;
}

static int read_user_file(char **ret) {
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path;
	int r;

	if (config && *config)
		r = asprintf(&path, "%s/lockd/lockctl.conf", config);
	else if (home && *home)
		r = asprintf(&path, "%s/.config/lockd/lockctl.conf", home);
	else
		return -ENOENT;
	if (r < 0) {
		report("%s", strerror(ENOMEM));
		return EXIT_OTHER;
	}
	r = endpoints_read(path, ret);
	free(path);
	return r;
}

int endpoints_find(char **ret) {
	const char *environment = getenv("LOCKD_ENDPOINTS");
	char *found = NULL;
	int r;

	if (environment && *environment) {
		found = strdup(environment);
		if (!found) {
			report("%s", strerror(ENOMEM));
			return EXIT_OTHER;
		}
		*ret = found;
		return 0;
	}

	r = read_user_file(&found);
	if (r > 0)
		return r;
	if (!found) {
		r = endpoints_read(ENDPOINTS_SYSTEM_FILE, &found);
		if (r > 0)
			return r;
	}
	*ret = found;
	return 0;
}
