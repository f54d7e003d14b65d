/* SPDX-License-Identifier: MIT */
/* The functions of a file's symbol tables, sorted by address: libdwfl itself would look at every symbol each time. */
#include "dwfl.h"

#include <stdlib.h>
#include <string.h>

/* How far back an enclosing function may be, behind smaller ones within it. */
#define NESTED 32

/* Programmers use names with few leading underscores, global ones rather than local ones, and short ones. */
static int rank_of(const char *name, const GElf_Sym *symbol)
{
	int binding = GELF_ST_BIND(symbol->st_info);

	return (int)strspn(name, "_") * 4 + (binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2);
}

static bool is_function(const GElf_Sym *symbol)
{
	int type = GELF_ST_TYPE(symbol->st_info);

	return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF && symbol->st_value;
}

static int compare(const void *a, const void *b)
{
	const struct lbpf_symbol *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (strlen(x->name) != strlen(y->name))
		return strlen(x->name) < strlen(y->name) ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Keeps one symbol for each address, with the largest of their sizes. */
static void unite(struct lbpf_symtab *table)
{
	struct lbpf_symbol *symbols = table->symbols;
	size_t kept = 0;

	for (size_t i = 0; i < table->count; i++) {
		if (kept && symbols[kept - 1].from == symbols[i].from) {
			if (symbols[kept - 1].to < symbols[i].to)
				symbols[kept - 1].to = symbols[i].to;
		} else {
			symbols[kept++] = symbols[i];
		}
	}
	table->count = kept;
	for (size_t i = 0; i < kept; i++)
		if (symbols[i].to == symbols[i].from)
			symbols[i].to = i + 1 < kept ? symbols[i + 1].from : UINT64_MAX;
}

bool lbpf_symtab_read(struct lbpf_symtab *table, Dwfl_Module *module)
{
	int n = dwfl_module_getsymtab(module);

	if (n <= 0)
		return true;
	table->symbols = calloc((size_t)n, sizeof(*table->symbols));
	if (!table->symbols)
		return false;
	for (int i = 0; i < n; i++) {
		GElf_Sym symbol;
		GElf_Addr from;
		const char *name = dwfl_module_getsym_info(module, i, &symbol, &from, NULL, NULL, NULL);

		if (!name || !*name || !is_function(&symbol))
			continue;
		table->symbols[table->count++] = (struct lbpf_symbol){
			.from = from,
			.to = symbol.st_size < UINT64_MAX - from ? from + symbol.st_size : UINT64_MAX,
			.name = name,
			.rank = rank_of(name, &symbol),
		};
	}
	qsort(table->symbols, table->count, sizeof(*table->symbols), compare);
	unite(table);
	return true;
}

void lbpf_symtab_free(struct lbpf_symtab *table)
{
	free(table->symbols);
	*table = (struct lbpf_symtab){ 0 };
}

const struct lbpf_symbol *lbpf_symtab_find(const struct lbpf_symtab *table, uint64_t address)
{
	size_t low = 0, high = table->count;

	while (low < high) { /* the first symbol behind the address */
		size_t middle = low + (high - low) / 2;

		if (table->symbols[middle].from <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t back = 0; back < NESTED && back < low; back++)
		if (table->symbols[low - 1 - back].to > address)
			return &table->symbols[low - 1 - back];
	return NULL;
}
