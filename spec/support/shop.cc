// SPDX-License-Identifier: MIT
// A process with inlined functions, names of C++ and of Rust, and code that was made while it ran: prints its number and
// the addresses of these, and waits until its input ends. With an argument it writes a perf map.
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

extern "C" char shop_mark[];
extern "C" int rust_old() __asm__("_ZN52_$LT$shop..Cart$u20$as$u20$core..fmt..Debug$u3b$$GT$3fmt17h0123456789abcdefE");

int rust_old()
{
	return 1;
}

namespace shop {
template <typename T> struct Cart {
	T n;
	__attribute__((noinline)) int add(T x);
};

__attribute__((always_inline)) static inline int innermost(int x)
{
	__asm__ volatile(".globl shop_mark\nshop_mark: nop" ::: "memory"); // line 25
	return x + 1;
}

__attribute__((always_inline)) static inline int middle(int x)
{
	return innermost(x) * 2; // line 31
}

template <typename T> int Cart<T>::add(T x)
{
	n += x;
	int result = middle(static_cast<int>(n)); // line 37
	__asm__ volatile("" ::: "memory");
	return result;
}
} // namespace shop

static void write_perf_map(const void *code)
{
	char path[64];
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	FILE *map = fopen(path, "w");
	if (!map)
		return;
	fprintf(map, "%lx 40 jitted_function\nnonsense\n%lx 10 second [x];\033[2J\n",
		reinterpret_cast<unsigned long>(code), reinterpret_cast<unsigned long>(code) + 0x40);
	fclose(map);
}

int main(int argc, char **)
{
	void *code = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shop::Cart<long> cart{ 1 };
	int sum = cart.add(4) + rust_old();

	if (argc > 1)
		write_perf_map(code);
	printf("%d %p %p %p %d\n", getpid(), static_cast<void *>(shop_mark), code, reinterpret_cast<void *>(rust_old),
	       sum);
	fflush(stdout);
	for (char c; read(0, &c, 1) > 0;)
		;
	return 0;
}
