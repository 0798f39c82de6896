/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 100, TEXT_BYTES = 2048 };

/* One story is told at a time by a process. */
static unsigned acts;

/* Columns, as far as UTF-8 goes. */
static size_t width_of(const char *text, size_t bytes) {
	size_t columns = 0;
	for (size_t i = 0; i < bytes; i++)
		columns += ((unsigned char)text[i] & 0xc0) != 0x80;
	return columns;
}

/* Prints words behind `first`, and following lines behind as many blanks. */
static void print_wrapped(const char *first, const char *format, va_list arguments) {
	char text[TEXT_BYTES];
	size_t margin = strlen(first), column = margin;

	vsnprintf(text, sizeof(text), format, arguments);
	fputs(first, stdout);
	for (const char *word = text; *word;) {
		size_t bytes = strcspn(word, " "), columns = width_of(word, bytes);

		if (column > margin && column + 1 + columns > WIDTH) {
			printf("\n%*s", (int)margin, "");
			column = margin;
		}
		if (column > margin)
			column += (size_t)printf(" ");
		printf("%.*s", (int)bytes, word);
		column += columns;
		word += bytes;
		word += strspn(word, " ");
	}
	printf("\n");
}

void story_title(const char *name, const char *question) {
	acts = 0;
	printf("%s\n%s\n", name, question);
}

void story_act(const char *format, ...) {
	char number[16];
	va_list arguments;

	printf("\n");
	snprintf(number, sizeof(number), "%2u. ", ++acts);
	va_start(arguments, format);
	print_wrapped(number, format, arguments);
	va_end(arguments);
}

void story_say(const char *format, ...) {
	va_list arguments;

	va_start(arguments, format);
	print_wrapped("    ", format, arguments);
	va_end(arguments);
}

void story_event(uint64_t now, const char *format, ...) {
	va_list arguments;

	printf("%9" PRIu64 ".%03" PRIu64 " ms  ", now / 1000, now % 1000);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

void story_answer(const char *format, ...) {
	va_list arguments;

	printf("\n");
	va_start(arguments, format);
	print_wrapped("Answer: ", format, arguments);
	va_end(arguments);
}
