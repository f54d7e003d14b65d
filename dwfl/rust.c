/* SPDX-License-Identifier: MIT */
/* Names of Rust's newer mangling, which begin with "_R": https://doc.rust-lang.org/rustc/symbol-mangling/v0.html.
 *
 * The text is what a programmer reads, not what a compiler could: lifetimes are left out where Rust lets one do so, and
 * hashes of crates everywhere. A name refers back to its own parts, so a short hostile one may stand for an endless
 * text: the text and the number of steps are limited. A name that is longer, or that has what was added to the scheme
 * later, stays mangled. */
#include "dwfl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 4096
#define STEPS 20000
#define DEPTH 128

struct parser {
	const char *name; /* behind "_R", where positions count from */
	size_t size, at;
	char *text; /* LONGEST bytes */
	size_t written;
	int steps, depth;
	bool quiet;  /* writes nothing */
	bool failed; /* no more is read or written */
};

static void path(struct parser *p, bool is_value);
static void type(struct parser *p);

/* ---- reading and writing ---- */

static char peek(const struct parser *p)
{
	return p->failed || p->at >= p->size ? '\0' : p->name[p->at];
}

static char next(struct parser *p)
{
	char c = peek(p);

	if (!c || p->steps-- == 0)
		p->failed = true;
	else
		p->at++;
	return p->failed ? '\0' : c;
}

static bool skip(struct parser *p, char c)
{
	if (peek(p) != c)
		return false;
	next(p);
	return true;
}

static void write_bytes(struct parser *p, const char *bytes, size_t size)
{
	if (p->failed || p->quiet)
		return;
	if (size >= LONGEST - p->written) {
		p->failed = true;
		return;
	}
	memcpy(p->text + p->written, bytes, size);
	p->written += size;
}

static void write_text(struct parser *p, const char *text)
{
	write_bytes(p, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void write_format(struct parser *p, const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_text(p, text);
}

/* A number of base 62 and "_"; "_" alone is 0, and "0_" is 1. */
static uint64_t base62(struct parser *p)
{
	uint64_t n = 0;

	if (skip(p, '_'))
		return 0;
	for (;;) {
		char c = next(p);

		if (c == '_')
			return n + 1;
		if (c >= '0' && c <= '9')
			n = n * 62 + (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'z')
			n = n * 62 + 10 + (uint64_t)(c - 'a');
		else if (c >= 'A' && c <= 'Z')
			n = n * 62 + 36 + (uint64_t)(c - 'A');
		else
			p->failed = true;
		if (p->failed)
			return 0;
	}
}

/* A number of base 62 behind a letter, plus 1; 0 without the letter. */
static uint64_t optional62(struct parser *p, char letter)
{
	return skip(p, letter) ? base62(p) + 1 : 0;
}

struct identifier {
	const char *bytes;
	size_t size;
	bool punycode;
	uint64_t disambiguator;
};

static struct identifier identifier(struct parser *p)
{
	struct identifier id = { .disambiguator = optional62(p, 's') };

	id.punycode = skip(p, 'u');
	if (peek(p) < '0' || peek(p) > '9')
		p->failed = true;
	if (!skip(p, '0')) /* a number has no leading zeros */
		while (peek(p) >= '0' && peek(p) <= '9' && id.size < LONGEST)
			id.size = id.size * 10 + (size_t)(next(p) - '0');
	skip(p, '_');
	if (p->failed || id.size > p->size - p->at) {
		p->failed = true;
		return (struct identifier){ 0 };
	}
	id.bytes = p->name + p->at;
	p->at += id.size;
	return id;
}

static void write_identifier(struct parser *p, const struct identifier *id)
{
	write_text(p, id->punycode ? "punycode{" : "");
	write_bytes(p, id->bytes, id->size);
	write_text(p, id->punycode ? "}" : "");
}

/* ---- the grammar ---- */

/* Reads at an earlier place, "B" being read. Nothing is to be read for what isn't written. */
static void back(struct parser *p, void (*read)(struct parser *p, bool is_value), bool is_value)
{
	size_t here = p->at - 1;
	uint64_t there = base62(p);
	size_t after = p->at;

	if (p->failed || p->quiet)
		return;
	if (there >= here) {
		p->failed = true;
		return;
	}
	p->at = there;
	read(p, is_value);
	p->at = after;
}

static void type_of_two(struct parser *p, bool is_value)
{
	(void)is_value;
	type(p);
}

/* A constant: its type, "n" for a negative number, and hexadecimal digits. */
static void constant(struct parser *p, bool is_value)
{
	char kind = next(p);
	bool negative;
	uint64_t n = 0;
	int digits = 0;

	if (kind == 'B') {
		back(p, constant, is_value);
		return;
	}
	if (kind == 'p') {
		write_text(p, "_");
		return;
	}
	if (!kind || !strchr("abchijlmnostxy", kind)) {
		p->failed = true;
		return;
	}
	negative = skip(p, 'n');
	for (char c; (c = next(p)) != '_' && !p->failed; digits++) {
		p->failed = !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
		n = n << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (kind == 'b')
		write_text(p, n ? "true" : "false");
	else if (kind == 'c')
		write_format(p, n >= 32 && n < 127 ? "'%c'" : "'\\u{%x}'", (unsigned int)n);
	else if (digits > 16)
		write_text(p, "_");
	else
		write_format(p, "%s%llu", negative ? "-" : "", (unsigned long long)n);
}

/* What is up to "E", with commas between. Returns how many there were. */
static int list(struct parser *p, void (*read)(struct parser *p))
{
	int n = 0;

	for (; !p->failed && !skip(p, 'E'); n++) {
		write_text(p, n ? ", " : "");
		read(p);
	}
	return n;
}

static void generic_argument(struct parser *p)
{
	if (skip(p, 'L')) {
		base62(p);
		write_text(p, "'_");
	} else if (skip(p, 'K')) {
		constant(p, false);
	} else {
		type(p);
	}
}

static void function_type(struct parser *p)
{
	optional62(p, 'G');
	write_text(p, skip(p, 'U') ? "unsafe " : "");
	if (skip(p, 'K')) {
		struct identifier abi = { .bytes = "C", .size = 1 };

		if (!skip(p, 'C'))
			abi = identifier(p);
		write_text(p, "extern \"");
		write_identifier(p, &abi);
		write_text(p, "\" ");
	}
	write_text(p, "fn(");
	list(p, type);
	write_text(p, ")");
	if (!skip(p, 'u')) { /* returns something */
		write_text(p, " -> ");
		type(p);
	}
}

/* A path without the ">" that ends its arguments. Returns whether there are such. */
static bool open_path(struct parser *p)
{
	if (!skip(p, 'I')) {
		path(p, false);
		return false;
	}
	path(p, false);
	write_text(p, "<");
	list(p, generic_argument);
	return true;
}

static void dyn_traits(struct parser *p)
{
	optional62(p, 'G');
	write_text(p, "dyn ");
	for (int n = 0; !p->failed && !skip(p, 'E'); n++) {
		bool open;

		write_text(p, n ? " + " : "");
		open = open_path(p);
		while (skip(p, 'p')) {
			struct identifier id = identifier(p);

			write_text(p, open ? ", " : "<");
			open = true;
			write_identifier(p, &id);
			write_text(p, " = ");
			type(p);
		}
		write_text(p, open ? ">" : "");
	}
	if (!skip(p, 'L'))
		p->failed = true;
	base62(p);
}

static const char *basic_type(char c)
{
	static const char *const names[] = {
		"i8",	"bool", "char", "f64", "str", "f32", NULL,  "u8", "isize", "usize", NULL,  "i32", "u32",
		"i128", "u128", "_",	NULL,  NULL,  "i16", "u16", "()", "...",   NULL,    "i64", "u64", "!",
	};

	return c >= 'a' && c <= 'z' ? names[c - 'a'] : NULL;
}

static void compound_type(struct parser *p, char c)
{
	if (c == 'R' || c == 'Q') {
		if (skip(p, 'L'))
			base62(p);
		write_text(p, c == 'R' ? "&" : "&mut ");
		type(p);
	} else if (c == 'P' || c == 'O') {
		write_text(p, c == 'P' ? "*const " : "*mut ");
		type(p);
	} else if (c == 'A' || c == 'S') {
		write_text(p, "[");
		type(p);
		if (c == 'A') {
			write_text(p, "; ");
			constant(p, false);
		}
		write_text(p, "]");
	} else if (c == 'T') {
		write_text(p, "(");
		write_text(p, list(p, type) == 1 ? ",)" : ")");
	} else if (c == 'F') {
		function_type(p);
	} else if (c == 'D') {
		dyn_traits(p);
	} else if (c == 'B') {
		back(p, type_of_two, false);
	} else {
		p->at--;
		path(p, false);
	}
}

static void type(struct parser *p)
{
	char c = next(p);
	const char *basic = basic_type(c);

	if (p->failed || ++p->depth > DEPTH) {
		p->failed = true;
		return;
	}
	if (basic)
		write_text(p, basic);
	else
		compound_type(p, c);
	p->depth--;
}

/* The path of an implementation, which says where it is. */
static void implementation(struct parser *p)
{
	bool quiet = p->quiet;

	optional62(p, 's');
	p->quiet = true;
	path(p, false);
	p->quiet = quiet;
}

/* A part of a path, "N" being read. */
static void nested(struct parser *p, bool is_value)
{
	char namespace = next(p);
	struct identifier id;

	path(p, is_value);
	id = identifier(p);
	if (namespace >= 'A' && namespace <= 'Z') {
		const char other[] = { namespace, '\0' };

		write_text(p, "::{");
		write_text(p, namespace == 'C' ? "closure" : namespace == 'S' ? "shim" : other);
		write_text(p, id.size ? ":" : "");
		write_identifier(p, &id);
		write_format(p, "#%llu}", (unsigned long long)id.disambiguator);
	} else if (id.size) {
		write_text(p, "::");
		write_identifier(p, &id);
	}
}

static void path(struct parser *p, bool is_value)
{
	char c = next(p);
	struct identifier id;

	if (p->failed || ++p->depth > DEPTH) {
		p->failed = true;
		return;
	}
	switch (c) {
	case 'C':
		id = identifier(p);
		write_identifier(p, &id);
		break;
	case 'N':
		nested(p, is_value);
		break;
	case 'M':
	case 'X':
		implementation(p);
		/* fall through */
	case 'Y':
		write_text(p, "<");
		type(p);
		write_text(p, c == 'M' ? "" : " as ");
		if (c != 'M')
			path(p, false);
		write_text(p, ">");
		break;
	case 'I':
		path(p, is_value);
		write_text(p, is_value ? "::<" : "<");
		list(p, generic_argument);
		write_text(p, ">");
		break;
	case 'B':
		back(p, path, is_value);
		break;
	default:
		p->failed = true;
	}
	p->depth--;
}

char *lbpf_rust_demangle(const char *name)
{
	struct parser p = { .steps = STEPS };

	if (strncmp(name, "_R", 2) != 0)
		return NULL;
	p.name = name + 2;
	p.size = strcspn(p.name, "."); /* compilers append ".cold", ".llvm.123" */
	p.text = malloc(LONGEST);
	if (!p.text)
		return NULL;
	path(&p, true);
	if (peek(&p)) { /* the crate that it was made for */
		p.quiet = true;
		path(&p, false);
	}
	if (p.failed || p.at != p.size) {
		free(p.text);
		return NULL;
	}
	p.text[p.written] = '\0';
	return p.text;
}
