/* SPDX-License-Identifier: Apache-2.0 */
/* How a scenario speaks to its reader: title, acts, paragraphs, and one line per event with the virtual time. */
#ifndef TESTS_SCENARIOS_STORY_H
#define TESTS_SCENARIOS_STORY_H

#include <stdint.h>

void story_title(const char *name, const char *question);
/* A heading: what happens in the next act, and why. Acts are numbered from each title on. */
void story_act(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line of explanation, no event. */
void story_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What happened at `now`, in microseconds of virtual time. */
void story_event(uint64_t now, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The answer that was shown. */
void story_answer(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
