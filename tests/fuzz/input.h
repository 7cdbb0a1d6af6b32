/* tests/fuzz/input.h: what a target takes its input apart with.  Where less is left than is asked
 * for, that is given: no input is refused for its length. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct input {
	const uint8_t *at;
	size_t left;
};

/* *length becomes what there is. */
static inline const uint8_t *input_take(struct input *input, size_t *length)
{
	const uint8_t *at = input->at;

	*length = *length < input->left ? *length : input->left;
	input->at += *length;
	input->left -= *length;
	return at;
}

/* 0 at the end. */
static inline uint8_t input_u8(struct input *input)
{
	size_t one = 1;
	const uint8_t *at = input_take(input, &one);

	return one ? *at : 0;
}

/* Big-endian. */
static inline uint16_t input_u16(struct input *input)
{
	uint16_t high = input_u8(input);

	return (uint16_t)(high << 8 | input_u8(input));
}

/* What lies before the next `separator`, or all there is; *length bytes. */
static inline const uint8_t *input_until(struct input *input, char separator, size_t *length)
{
	const uint8_t *end = input->left ? memchr(input->at, separator, input->left) : NULL;

	*length = end ? (size_t)(end - input->at) : input->left;
	const uint8_t *at = input_take(input, length);
	input_u8(input);
	return at;
}

/* That as a string of its own, so that a sanitizer sees a read past its end; to free.  It ends at a
 * NUL byte in any case. */
static inline char *input_text(struct input *input, char separator)
{
	size_t length;
	const uint8_t *at = input_until(input, separator, &length);
	char *text = malloc(length + 1);

	check(text != NULL);
	if (length)
		memcpy(text, at, length);
	text[length] = 0;
	return text;
}
