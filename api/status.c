/* SPDX-License-Identifier: Apache-2.0 */
#include <lockd/status.h>

const char *lockd_status_name(int status) {
	switch (status) {
#define NAME(name, number, outcome, text) \
	case number: return #name;
		LOCKD_STATUS_MAP(NAME)
#undef NAME
	default: return "UNKNOWN_STATUS";
	}
}

const char *lockd_status_text(int status) {
	switch (status) {
#define TEXT(name, number, outcome, text) \
	case number: return text;
		LOCKD_STATUS_MAP(TEXT)
#undef TEXT
	default: return "a status that this version does not know";
	}
}

enum lockd_outcome lockd_status_outcome(int status) {
	switch (status) {
#define OUTCOME(name, number, outcome, text) \
	case number: return LOCKD_OUTCOME_##outcome;
		LOCKD_STATUS_MAP(OUTCOME)
#undef OUTCOME
	default: return LOCKD_OUTCOME_UNKNOWN;
	}
}
