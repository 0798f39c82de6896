/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand in names, values and labels. */
#ifndef API_TEXT_H
#define API_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Well-formed UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF) without control characters (U+0000–001F,
 * U+007F–009F). The empty text is valid. */
bool text_is_valid(const void *bytes, size_t n);

#endif
