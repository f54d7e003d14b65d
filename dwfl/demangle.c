/* SPDX-License-Identifier: MIT */
/* Names of C++, and of Rust's older scheme, as the programmer wrote them.
 *
 * The demangler of C++ is in the C++ runtime, which this module doesn't need: it is loaded with the first mangled name
 * and stays. Where it isn't installed, names stay as they are. */
#include "dwfl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef char *demangler(const char *name, char *buffer, size_t *size, int *status);

static demangler *cxa_demangle;

static void load(void)
{
	static const char *const libraries[] = { "libstdc++.so.6", "libc++abi.so.1" };

	for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries) && !cxa_demangle; i++) {
		void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_LOCAL), *symbol;

		symbol = library ? dlsym(library, "__cxa_demangle") : NULL;
		memcpy(&cxa_demangle, &symbol, sizeof(symbol)); /* ISO C has no conversion to a function */
	}
}

/* Rust writes characters that C++ has no names with as $name$. */
static const struct {
	const char *code, *text;
} escapes[] = {
	{ "$LT$", "<" },  { "$GT$", ">" },  { "$LP$", "(" },  { "$RP$", ")" },	 { "$C$", "," },   { "$RF$", "&" },
	{ "$BP$", "*" },  { "$SP$", "@" },  { "$u20$", " " }, { "$u7b$", "{" },	 { "$u7d$", "}" }, { "$u7e$", "~" },
	{ "$u5b$", "[" }, { "$u5d$", "]" }, { "$u2b$", "+" }, { "$u22$", "\"" }, { "$u27$", "'" }, { "$u3b$", ";" },
	{ "$u26$", "&" }, { "$u3d$", "=" }, { "..", "::" },
};

/* The size of the path without the hash of 16 digits that ends a name of Rust's older scheme; 0 for other names. */
static size_t rust_size(const char *name)
{
	size_t size = strlen(name);

	if (size < 19 || strncmp(name + size - 19, "::h", 3) != 0)
		return 0;
	return strspn(name + size - 16, "0123456789abcdef") == 16 ? size - 19 : 0;
}

/* Replaces the escapes in the first `size` characters; no text is longer than its code. */
static void unescape(char *name, size_t size)
{
	char *to = name;

	for (const char *from = name, *end = name + size; from < end;) {
		size_t i = 0;

		/* An element of the path that would begin with an escape begins with "_". */
		if (*from == '_' && from[1] == '$' && (from == name || from[-1] == ':')) {
			from++;
			continue;
		}
		while (i < sizeof(escapes) / sizeof(*escapes) &&
		       strncmp(from, escapes[i].code, strlen(escapes[i].code)) != 0)
			i++;
		if (i == sizeof(escapes) / sizeof(*escapes)) {
			*to++ = *from++;
			continue;
		}
		memcpy(to, escapes[i].text, strlen(escapes[i].text));
		to += strlen(escapes[i].text);
		from += strlen(escapes[i].code);
	}
	*to = '\0';
}

char *lbpf_demangle(const char *name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char *text;
	size_t size;
	int status;

	if (strncmp(name, "_Z", 2) != 0)
		return lbpf_rust_demangle(name);
	pthread_once(&once, load);
	text = cxa_demangle ? cxa_demangle(name, NULL, NULL, &status) : NULL;
	size = text ? rust_size(text) : 0;
	if (size)
		unescape(text, size);
	return text;
}
