/* client/command/redact.h: secrets taken out of text that goes to others. */
#pragma once
#include <stddef.h>
#include <stdio.h>

/* Writes the text with "(removed)" in place of the value wherever a name that has password, passwd,
 * secret, token, credential, private or jaas in it is followed by '=' or ':' - up to the end of the
 * quotes that it stands in, else to the end of the word, and where the line begins with the name to
 * the end of the line - and of what stands before '@' in an address with "://".  Names and quotes
 * may lie in a value themselves.  Private keys in PEM are removed whole, and one without an end
 * with all that follows. */
void redact(const char *text, size_t length, FILE *to);
