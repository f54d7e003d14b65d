/* SPDX-License-Identifier: MIT */
/* Finds the message that says why a call of libbpf failed.
 *
 * libbpf prints a failure where it happens, and again in each function that returns it. It also prints warnings about
 * things without which it continues. So the cause is the last message that is neither. */
#define _GNU_SOURCE
#include "base/printed.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <string.h>

enum sort {
	CAUSE,
	OUTCOME,   /* these messages say that something failed; messages before them say why */
	TOLERATED, /* libbpf continues after these */
};

/* Messages of libbpf 1.1 to 1.7. The first pattern that matches counts. Since 1.6, messages have the names of errors
 * instead of their numbers. */
static const struct {
	const char *pattern;
	enum sort sort;
} rows[] = {
	/* types that the kernel doesn't support are left out */
	{ "BTF loading error: *", TOLERATED },
	{ "Error loading .BTF into kernel: *. BTF is optional, ignoring.", TOLERATED },
	{ "Kernel doesn't support BTF, skipping uploading it.", TOLERATED },
	{ "Error in bpf_create_map_xattr(*)*. Retrying without BTF.", TOLERATED },
	{ "prog '*': missing .BTF.ext * info for the main program, skipping all of .BTF.ext *", TOLERATED },
	{ "Error loading ELF section *. Ignored and continue.", TOLERATED },
	{ "map '*': failed to adjust resized BTF, clearing BTF key/value info: *", TOLERATED },
	/* so are parts of the object */
	{ "elf: skipping *", TOLERATED },
	{ "Ignore ELF section * because its depending ELF section * is not found.", TOLERATED },
	{ "sec '*': relo #*, probably overridden weak function, skipping...", TOLERATED },
	{ "map '*': ignoring unknown field '*'.", TOLERATED },
	{ "struct_ops * not found in kernel, skipping it as it's set to zero", TOLERATED },
	{ "extern (kcfg) '*': long string * truncated to * bytes", TOLERATED },
	/* probing the kernel */
	{ "Detection of kernel * support failed: *", TOLERATED },
	{ "Error in *Couldn't create simple array map.", TOLERATED },
	{ "Error in *: Program loading unexpectedly succeeded.", TOLERATED },
	{ "Error in *: Program unexpectedly failed with message: *", TOLERATED },
	{ "Failed to bump RLIMIT_MEMLOCK *", TOLERATED },
	{ "permission error while running as root; try raising 'ulimit -l'? current value: *", TOLERATED },
	{ "failed to get map info for *; API not supported? Ignoring...", TOLERATED },
	{ "kernel BTF is missing at *", TOLERATED }, /* libbpf continues with other places */
	{ "failed to read kernel BTF from *", TOLERATED },
	{ "failed to find '.BTF' ELF section in *", TOLERATED },
	{ "object '*': *, skipping*...", TOLERATED }, /* tokens */
	{ "usdt: failed to get absolute path of *, using path as is...", TOLERATED },
	{ "unrecognized '*' envvar value: *", TOLERATED },
	{ "failed to load object '*'", TOLERATED },	      /* these say nothing that the caller doesn't know */
	{ "Error in bpf_object__probe_loading*", TOLERATED }, /* guesses at what errno may mean */
	{ "Netlink error reporting not supported", TOLERATED },
	{ "Attribute of type * found multiple times in message, previous attribute is being ignored.", TOLERATED },
	{ "Failed to parse extended error attributes", TOLERATED },
	/* an explanation below the cause */
	{ "supported section(type) names are:*", TOLERATED },
	{ "attachable section(type) names are:*", TOLERATED },

	{ "Error loading ELF section *", OUTCOME },
	{ "BTF is required, but is missing or corrupted.", OUTCOME },
	{ "failed to perform CO-RE relocations: *", OUTCOME },
	{ "prog '*': failed to load: *", OUTCOME },
	{ "prog '*': failed to initialize: *", OUTCOME },
	{ "prog '*': failed to prepare load attributes: *", OUTCOME },
	{ "prog '*': failed to perform .BTF.ext fix ups: *", OUTCOME },
	{ "prog '*': failed to relocate calls: *", OUTCOME },
	{ "prog '*': failed to relocate data references: *", OUTCOME },
	{ "prog '*': relo #*: failed to relocate: *", OUTCOME },
	{ "prog '*': relo #*: failed to record relocation: *", OUTCOME },
	{ "prog '*': relo #*: failed to patch insn #*: *", OUTCOME },
	{ "prog '*': failed to auto-attach: *", OUTCOME },
	{ "map '*': error reusing pinned map", OUTCOME },
	{ "map '*': failed to auto-pin at *", OUTCOME },
	{ "map '*': failed to create: *", OUTCOME },
};

static enum sort sort_of(const char *line, size_t len)
{
	char text[512];

	if (len >= sizeof(text)) /* a pattern that ends in text would have to match the end */
		len = sizeof(text) - 1;
	memcpy(text, line, len);
	text[len] = '\0';
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (fnmatch(rows[i].pattern, text, FNM_NOESCAPE) == 0)
			return rows[i].sort;
	return CAUSE;
}

/* Whether a line is the first or last line of a log of the kernel: "-- BEGIN PROG LOAD LOG --", which has the program's
 * name before it, or "-- END BTF LOAD LOG --". */
static bool marks_log(const char *line, size_t len, const char *mark)
{
	const char *at = memmem(line, len, mark, strlen(mark));

	return at && memmem(at, len - (size_t)(at - line), " LOAD LOG --", 12);
}

const char *lbpf_printed_cause(const char *text, size_t *len)
{
	const char *found = NULL, *line, *end = text + strlen(text);
	bool in_log = false;

	for (; end > text; end = line) {
		size_t n;

		end--; /* without the newline at the end of each message */
		line = memrchr(text, '\n', (size_t)(end - text));
		line = line ? line + 1 : text;
		n = (size_t)(end - line);
		in_log = (in_log || marks_log(line, n, "-- END ")) && !marks_log(line, n, "-- BEGIN ");
		if (in_log || !n || marks_log(line, n, "-- BEGIN "))
			continue;
		switch (sort_of(line, n)) {
		case CAUSE:
			*len = n;
			return line;
		case OUTCOME: /* the innermost failure, if there is no other message */
			found = line;
			*len = n;
			break;
		case TOLERATED:
			break;
		}
	}
	return found;
}
