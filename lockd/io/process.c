/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static raft_usec ticks_to_usec(unsigned long long ticks) {
	return (raft_usec)(ticks * 1000000ull / (unsigned long long)sysconf(_SC_CLK_TCK));
}

/* proc(5): the name of the program stands in parentheses and may hold anything, so the fields are counted behind the
 * last one; the first there is the state, field 3. */
static void read_stat(struct process *ret) {
	unsigned long long user, kernel, started, virtual_bytes;
	long long pages;
	FILE *file = fopen("/proc/self/stat", "re");
	char line[1024], *fields;

	if (!file)
		return;
	fields = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
	(void)fclose(file);
	if (!fields || sscanf(fields,
			      ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu "
			      "%llu %lld",
			      &user, &kernel, &started, &virtual_bytes, &pages) != 5)
		return;
	ret->cpu = ticks_to_usec(user + kernel);
	ret->started = ticks_to_usec(started);
	ret->virtual_bytes = virtual_bytes;
	ret->resident_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t count_descriptors(void) {
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	uint64_t n = 0;

	if (!folder)
		return 0;
	while ((entry = readdir(folder)))
		n += entry->d_name[0] != '.';
	(void)closedir(folder);
	return n > 0 ? n - 1 : 0; /* the folder itself was one of them */
}

void process_read(struct process *ret) {
	struct rlimit limit;

	*ret = (struct process){.descriptors = count_descriptors()};
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		ret->descriptors_max = limit.rlim_cur;
	read_stat(ret);
}
