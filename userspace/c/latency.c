/*
 * latency - how long one program's calls keep another from its turn.
 *
 * For each long call: a child makes it once on this CPU while the parent sleeps
 * for a tenth of a millisecond again and again; printed is the longest time by
 * which the parent woke up too late, and how long the call took.
 *
 *   LATENCY name worst_us=N call_us=N
 *
 * Under "qemu -icount shift=0" a microsecond is a thousand instructions.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE (48ul << 20)

static char *memory;
static int file;

static int64_t now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000ll + at.tv_nsec;
}

static void touch(void)
{
	for (size_t at = 0; at < SIZE; at += 4096)
		memory[at] = 1;
}

static void nothing(void) { }
static void read_zero(void)
{
	int zero = open("/dev/zero", O_RDONLY);
	if (read(zero, memory, SIZE) != (ssize_t)SIZE)
		_exit(1);
}
static void write_file(void)
{
	if (pwrite(file, memory, SIZE, 0) != (ssize_t)SIZE)
		_exit(1);
}
static void read_file(void)
{
	if (pread(file, memory, SIZE, 0) != (ssize_t)SIZE)
		_exit(1);
}
static void get_random(void)
{
	if (getrandom(memory, 1 << 20, 0) != 1 << 20)
		_exit(1);
}
static void send_file(void)
{
	int out = open("/tmp/latency.out", O_RDWR | O_CREAT | O_TRUNC, 0600);
	off_t at = 0;
	if (sendfile(out, file, &at, SIZE / 4) != SIZE / 4)
		_exit(1);
	unlink("/tmp/latency.out");
}
static void unmap(void) { munmap(memory, SIZE); }
static void protect(void) { mprotect(memory, SIZE, PROT_READ); }
static void discard(void) { madvise(memory, SIZE, MADV_DONTNEED); }
static void fork_once(void)
{
	int child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, 0, 0);
}
static void cut_file(void)
{
	if (ftruncate(file, 0))
		_exit(1);
}
static void leave(void) { _exit(0); }

static void measure(const char *name, void (*call)(void), int touched)
{
	int ready[2];
	int64_t *took = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t worst = 0;
	char byte;

	struct sched_param urgent = { 1 }, ordinary = { 0 };

	if (pipe(ready))
		exit(1);
	int child = fork();
	if (child == 0) {
		memory = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (touched)
			touch();
		write(ready[1], "r", 1);
		int64_t start = now();
		call();
		*took = now() - start;
		/* What is left to do is not what is measured. */
		*(volatile int64_t *)&took[1] = 1;
		_exit(0);
	}
	/* Ahead of the child, so that it need not wait for the end of its slice. */
	sched_setscheduler(0, SCHED_FIFO, &urgent);
	read(ready[0], &byte, 1);
	while (waitpid(child, 0, WNOHANG) == 0) {
		struct timespec nap = { 0, 100000 };
		int64_t before = now();
		nanosleep(&nap, 0);
		int64_t late = now() - before - 100000;
		if ((!took[1] || call == leave) && late > worst)
			worst = late;
	}
	sched_setscheduler(0, SCHED_OTHER, &ordinary);
	printf("LATENCY %s worst_us=%lld call_us=%lld\n", name, (long long)worst / 1000,
	       (long long)took[0] / 1000);
	fflush(stdout);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	file = open("/tmp/latency", O_RDWR | O_CREAT | O_TRUNC, 0600);
	measure("nothing", nothing, 0);
	measure("read_zero", read_zero, 0);
	measure("write_file", write_file, 1);
	measure("read_file", read_file, 0);
	measure("sendfile", send_file, 0);
	measure("getrandom", get_random, 1);
	measure("munmap", unmap, 1);
	measure("mprotect", protect, 1);
	measure("madvise_dontneed", discard, 1);
	measure("fork", fork_once, 1);
	measure("truncate", cut_file, 0);
	measure("exit", leave, 1);
	unlink("/tmp/latency");
	return 0;
}
