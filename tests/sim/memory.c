/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/memory.h"

#include <stdlib.h>
#include <string.h>

void *memory_new(size_t bytes) {
	void *block = calloc(1, bytes ? bytes : 1);
	if (!block)
		abort();
	return block;
}

void *memory_copy(const void *bytes, size_t n) {
	void *block = malloc(n ? n : 1);
	if (!block)
		abort();
	if (n > 0)
		memcpy(block, bytes, n);
	return block;
}

void *memory_fit(void *array, size_t *size, size_t n, size_t bytes) {
	if (n <= *size)
		return array;
	size_t wanted = *size ? *size : 16;
	while (wanted < n)
		wanted *= 2;
	array = realloc(array, wanted * bytes);
	if (!array)
		abort();
	memset((char *)array + *size * bytes, 0, (wanted - *size) * bytes);
	*size = wanted;
	return array;
}
