/* client/command/output.h: standard output, and whether anybody reads it. */
#pragma once

/* Flushes standard output, and looks whether anybody still reads it. */
enum output_state {
	OUTPUT_GOOD,
	OUTPUT_ENOUGH, /* its reader has had enough and gone: no failure */
	OUTPUT_FAILED, /* and that was complained of */
};
enum output_state output_flush(void);
/* The exit code of a verb that ends with `code`, once all is printed. */
int output_finish(int code);
